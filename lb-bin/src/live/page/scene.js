// The moving picture: requests fly from clients through the balancer to containers.

import { Flight } from './flight.js';
import { geometry } from './geometry.js';
import { paintFlight, paintGround } from './paint.js';
import { Rows } from './rows.js';
import { palette } from './shapes.js';

/** Two canvases, of which the upper one is painted anew while something moves. */
export class Scene {
  /** Without motion: bars show how much goes where. */
  still = false;
  #ground;
  #flying;
  #box;
  #rows = new Rows();
  #flight = new Flight();
  #at = geometry(0, 0, 1);
  #colors = {};
  #family = '';
  #needed = '';
  /** What the ground shows, and whether it has to be painted anew. */
  #shown = '';
  #stale = true;
  #paused = false;
  /** The frame that was asked for, and the time of the last one, if it moved. */
  #frame = 0;
  #last = null;

  constructor(ground, flying) {
    this.#ground = ground.getContext('2d');
    this.#flying = flying.getContext('2d');
    this.#box = ground.parentElement;
    this.recolor();
    new ResizeObserver(() => this.#resize()).observe(this.#box);
  }

  /** Takes the colours of the page anew. */
  recolor() {
    this.#colors = palette(this.#box);
    this.#family = getComputedStyle(this.#box).fontFamily;
    this.#repaint();
  }

  /** Shows these services, with their latest figures. */
  show(services) {
    this.#rows.set(services);
    const needed = `${Math.ceil(this.#rows.height(this.#at.scale))}px`;
    if (needed !== this.#needed) this.#box.style.setProperty('--needed', needed);
    this.#needed = needed;
    // Nothing is painted anew to look the same.
    const endpoints = services.map((service) =>
      service.endpoints.map(({ id, state, counted: { last } }) =>
        [id, state, last.rate, last.errors, last.p50],
      ),
    );
    const shown = JSON.stringify([this.still, services.map(({ name }) => name), endpoints]);
    if (shown !== this.#shown) this.#repaint();
    this.#shown = shown;
  }

  /** Lets the requests of a tick fly, each of which stands for `weight` of them. */
  launch(requests, weight) {
    if (this.still || this.#paused || document.hidden) return;
    for (const sent of requests) {
      const row = sent.endpoint === null ? null : this.#rows.find(sent.service, sent.endpoint);
      // Of who isn't shown any more, nor is what it answered.
      if (row || sent.endpoint === null) this.#flight.launch(sent, row, weight);
    }
    // Clients come and go, too.
    if (requests.length > 0) this.#repaint();
  }

  pause(paused) {
    this.#paused = paused;
    this.#wake();
  }

  /** Takes everything out of the air. */
  clear() {
    this.#flight.clear();
    this.#repaint();
  }

  #resize() {
    const { clientWidth: width, clientHeight: height } = this.#box;
    const scale = parseFloat(getComputedStyle(document.documentElement).fontSize) / 16;
    this.#at = geometry(width, height, scale);
    const dots = Math.min(window.devicePixelRatio || 1, 2);
    for (const context of [this.#ground, this.#flying]) {
      context.canvas.width = Math.round(width * dots);
      context.canvas.height = Math.round(height * dots);
      context.setTransform(dots, 0, 0, dots, 0, 0);
    }
    this.#repaint();
  }

  #repaint() {
    this.#stale = true;
    this.#wake();
  }

  #wake() {
    if (!this.#frame) this.#frame = requestAnimationFrame((now) => this.#tick(now));
  }

  /** One frame; the next one is asked for only if something moves. */
  #tick(now) {
    const passed = this.#last === null ? 0 : Math.min((now - this.#last) / 1000, 0.1);
    const seconds = this.#paused ? 0 : passed;
    const { height, scale } = this.#at;
    const moving = this.#rows.move(seconds, height, scale, this.still);
    this.#flight.advance(seconds, this.#at);
    const all = {
      at: this.#at,
      colors: this.#colors,
      family: this.#family,
      rows: this.#rows,
      flight: this.#flight,
      still: this.still,
    };
    if (this.#stale || moving.rows) paintGround(this.#ground, all);
    this.#stale = false;
    paintFlight(this.#flying, all);
    const goesOn = !this.#paused && (moving.rows || moving.paddles || !this.#flight.isOver);
    this.#last = goesOn ? now : null;
    this.#frame = 0;
    if (goesOn) this.#wake();
  }
}
