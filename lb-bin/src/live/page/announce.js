// What a screen reader is told: a sentence now and then, however much happens.

import { setText } from './dom.js';

const PAUSE = 4_000;

export class Announcer {
  #region;
  #waiting = [];
  #timer = 0;

  constructor(region) {
    this.#region = region;
  }

  say(text) {
    this.#waiting.push(text);
    // What comes at once is said at once.
    if (!this.#timer) this.#timer = setTimeout(() => this.#speak(), 0);
  }

  #speak() {
    const waiting = this.#waiting;
    this.#waiting = [];
    if (waiting.length === 0) {
      this.#timer = 0;
      return;
    }
    const more = waiting.length > 1 ? ` (and ${waiting.length - 1} more)` : '';
    setText(this.#region, `${waiting.at(-1)}${more}`);
    this.#timer = setTimeout(() => this.#speak(), PAUSE);
  }
}
