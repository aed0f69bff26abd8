// The stream of events from the balancer, for as long as the page is open.

// The balancer sends something four times a second. From a connection on which
// nothing comes for so long, nothing will: a network that is gone doesn't say so.
const SILENCE = 5_000;
// EventSource connects again by itself, but not after an answer that isn't a stream.
const RETRY = 1_000;

/**
 * Reads the stream at `url` and tells `on.state(data)`, `on.traffic(data)` and
 * `on.link(connected)`, the last only when that changes.
 */
export class Feed {
  #url;
  #on;
  #source = null;
  #timer = 0;
  #connected = null;

  constructor(url, on) {
    this.#url = url;
    this.#on = on;
  }

  open() {
    this.close();
    const source = new EventSource(this.#url);
    this.#source = source;
    source.addEventListener('state', (event) => this.#heard('state', event));
    source.addEventListener('traffic', (event) => this.#heard('traffic', event));
    source.addEventListener('error', () => {
      this.#tell(false);
      if (source.readyState === EventSource.CLOSED) this.#later(RETRY);
    });
    this.#later(SILENCE);
  }

  /** Closes the connection, which costs the balancer nothing from then on. */
  close() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  #heard(kind, event) {
    let data;
    try {
      data = JSON.parse(event.data);
    } catch {
      return;
    }
    this.#later(SILENCE);
    this.#tell(true);
    this.#on[kind](data);
  }

  #later(delay) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#tell(false);
      this.open();
    }, delay);
  }

  #tell(connected) {
    if (connected === this.#connected) return;
    this.#connected = connected;
    this.#on.link(connected);
  }
}
