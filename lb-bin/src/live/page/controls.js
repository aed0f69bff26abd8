// What people can set: pause, the service, the theme, keys.

import { setChildren } from './dom.js';

const THEMES = ['system', 'light', 'dark'];

/** A setting that outlives the page, where the browser lets it. */
const stored = {
  get(name) {
    try {
      return localStorage.getItem(`lb-${name}`);
    } catch {
      return null;
    }
  },
  set(name, value) {
    try {
      localStorage.setItem(`lb-${name}`, value);
    } catch {
      // Then it holds for as long as the page is open.
    }
  },
};

/**
 * Wires the controls and tells `on.pause(paused)`, `on.filter(service)` (null for
 * all) and `on.theme()`.
 */
export class Controls {
  #on;
  #pause = document.getElementById('pause');
  #filter = document.getElementById('filter');
  #theme = document.getElementById('theme');
  #keys = document.getElementById('keys');
  #keysOn = document.getElementById('keys-on');

  constructor(on) {
    this.#on = on;
    this.#pause.addEventListener('click', () => this.#togglePause());
    this.#filter.addEventListener('change', () => on.filter(this.#filter.value || null));
    this.#theme.value = document.documentElement.dataset.theme ?? 'system';
    this.#theme.addEventListener('change', () => this.#setTheme(this.#theme.value));
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => on.theme());
    matchMedia('(forced-colors: active)').addEventListener('change', () => on.theme());
    document.getElementById('help').addEventListener('click', () => this.#keys.showModal());
    this.#keysOn.checked = stored.get('keys') !== 'off';
    this.#keysOn.addEventListener('change', () =>
      stored.set('keys', this.#keysOn.checked ? 'on' : 'off'),
    );
    document.addEventListener('keydown', (event) => this.#key(event));
  }

  /** Offers these services, and the chosen one even if it is gone. */
  services(names) {
    const known = new Map([...this.#filter.options].map((option) => [option.value, option]));
    const chosen = this.#filter.value;
    const all = names.includes(chosen) || !chosen ? names : [...names, chosen];
    const options = all.map((name) => known.get(name) ?? new Option(name, name));
    setChildren(this.#filter, [known.get(''), ...options]);
  }

  #togglePause() {
    const paused = this.#pause.getAttribute('aria-pressed') !== 'true';
    this.#pause.setAttribute('aria-pressed', String(paused));
    this.#on.pause(paused);
  }

  #setTheme(theme) {
    this.#theme.value = theme;
    if (theme === 'system') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    stored.set('theme', theme);
    this.#on.theme();
  }

  #key(event) {
    const { key, target } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || this.#keys.open) return;
    if (!this.#keysOn.checked) return;
    // These have a use for it themselves.
    if (target.matches(key === ' ' ? 'button, select, input, summary' : 'select, input')) return;
    const does = {
      ' ': () => this.#togglePause(),
      f: () => this.#filter.focus(),
      t: () => this.#setTheme(THEMES[(THEMES.indexOf(this.#theme.value) + 1) % THEMES.length]),
      '?': () => this.#keys.showModal(),
    }[key.length === 1 ? key.toLowerCase() : key];
    if (!does) return;
    event.preventDefault();
    does();
  }
}
