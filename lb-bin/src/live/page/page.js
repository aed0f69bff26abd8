// The live page: the feed changes the model, and what shows it is told.

import { Announcer } from './announce.js';
import { Controls } from './controls.js';
import { make, setAttribute, setChildren, setText } from './dom.js';
import { Feed } from './feed.js';
import { Figures } from './figures.js';
import { clock, count, many, moment } from './format.js';
import { Changes, Log, because } from './log.js';
import { GONE, Model } from './model.js';
import { Scene } from './scene.js';
import { ServiceTable, UnroutedList } from './table.js';

// A page that nobody sees for so long lets go of the balancer.
const UNSEEN = 60_000;
// Numbers that change more often can't be read: every second tick.
const TICKS = 2;
// Events that a page that stands still keeps.
const MISSED = 100;

const element = (id) => document.getElementById(id);

const model = new Model();
const changes = new Changes();
const log = new Log(element('log'));
const announcer = new Announcer(element('announcer'));
const figures = new Figures(element('figures'));
const table = new ServiceTable(element('table'));
const unrouted = new UnroutedList(element('unrouted'));
const scene = new Scene(element('ground'), element('flight'));

let paused = false;
let filter = null;
let lostAt = null;
let ticks = 0;
/** What happened while the page stood still. */
let missed = [];

const feed = new Feed('events', {
  state(data) {
    model.state(data, Date.now());
    changes.of(data).forEach(happened);
    show();
  },
  traffic(data) {
    model.traffic(data);
    if (model.forget(Date.now())) show();
    if (paused || document.hidden) return;
    fly(data);
    ticks = (ticks + 1) % TICKS;
    if (ticks === 0) show();
  },
  link(connected) {
    if (connected && lostAt) happened({ kind: 'back', text: 'The balancer is connected again' });
    if (!connected && !lostAt) {
      happened({ kind: 'lost', text: 'The connection to the balancer is lost' });
    }
    lostAt = connected ? null : new Date();
    showLink(connected);
  },
});

const controls = new Controls({
  pause(now) {
    paused = now;
    scene.pause(paused);
    if (!paused) catchUp();
    showLink(!lostAt);
    show();
  },
  filter(service) {
    filter = service;
    scene.clear();
    show();
  },
  theme() {
    scene.recolor();
  },
});

/** Shows all that is known. */
function show() {
  if (paused || document.hidden) return;
  const { services } = model;
  const shown = filter === null ? services : services.filter(({ name }) => name === filter);
  controls.services(services.map(({ name }) => name));
  figures.show(model, filter === null ? null : (shown[0] ?? GONE));
  table.show(shown, filter === null ? model.astray : null, model.synced);
  unrouted.show(model.unrouted);
  scene.show(shown);
  showNotices();
  if (model.started) {
    setText(element('process'), `lb ${model.version}, running since ${moment(model.started)}.`);
  }
}

function fly(data) {
  const requests = data.requests ?? [];
  const weight = requests.length > 0 ? 1 + (data.skipped ?? 0) / requests.length : 1;
  const of = filter === null ? requests : requests.filter(({ service }) => service === filter);
  scene.launch(of, weight);
  const about = Math.max(Math.round(weight), 2);
  const stands = weight > 1 ? `about ${count(about)} requests` : 'one request';
  const still = 'Bars are requests a second, those that failed at their ends';
  setText(element('scale'), scene.still ? still : `Each mark stands for ${stands}`);
}

function happened(change) {
  const date = new Date();
  if (paused) {
    missed = [...missed, { change, date }].slice(-MISSED);
    return;
  }
  log.add(change, date);
  // Nobody is told of a page that he has turned away from.
  if (!document.hidden) announcer.say(change.where ? `${change.text} (${change.where})` : change.text);
}

/** Lists what happened meanwhile, and says how much that is. */
function catchUp() {
  missed.forEach(({ change, date }) => log.add(change, date));
  const more = missed.length === MISSED ? ' and more' : '';
  if (missed.length > 0) announcer.say(`${many(missed.length, 'event')}${more} while paused`);
  missed = [];
}

function showLink(connected) {
  const [state, text] = !connected
    ? ['lost', 'Reconnecting']
    : paused
      ? ['paused', 'Paused']
      : ['live', 'Live'];
  setAttribute(element('link'), 'data-state', state);
  setText(element('link-text'), text);
  showNotices();
}

/** What keeps the rest of the page from being the truth. */
function showNotices() {
  const notices = [];
  if (lostAt) {
    notices.push(`No connection to the balancer since ${clock(lostAt)}. What is shown is from then.`);
  }
  if (model.docker && !model.docker.connected) {
    const lost = because('No connection to the Docker engine', [model.docker.error]);
    notices.push(`${lost}. The containers are those last known.`);
  }
  const known = new Map([...element('notices').children].map((p) => [p.textContent, p]));
  const shown = notices.map((text) => known.get(text) ?? make('p', { class: 'notice' }, text));
  setChildren(element('notices'), shown);
}

function followMotion() {
  const query = matchMedia('(prefers-reduced-motion: reduce)');
  const follow = () => {
    scene.still = query.matches;
    scene.clear();
  };
  query.addEventListener('change', follow);
  follow();
}

/** A page in the background shows nothing, and after a while reads nothing. */
function followSight() {
  let timer = 0;
  let closed = false;
  document.addEventListener('visibilitychange', () => {
    clearTimeout(timer);
    if (document.hidden) {
      timer = setTimeout(() => {
        closed = true;
        feed.close();
      }, UNSEEN);
      return;
    }
    scene.clear();
    if (closed) feed.open();
    closed = false;
    show();
  });
}

followMotion();
followSight();
feed.open();
show();
