// Numbers and times as people read them.

const WHOLE = new Intl.NumberFormat('en');
const CLOCK = new Intl.DateTimeFormat('en-GB', {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
});

const MOMENT = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });

/** What there is no number for. */
export const NONE = '–';

/** Something per second: 0, 0.4, 12, 3,400, 120k. */
export function rate(perSecond) {
  if (!(perSecond > 0)) return '0';
  if (perSecond < 0.05) return '<0.1';
  if (perSecond < 9.95) return perSecond.toFixed(1);
  if (perSecond < 99_500) return WHOLE.format(Math.round(perSecond));
  return `${WHOLE.format(Math.round(perSecond / 1000))}k`;
}

/** A share of a whole: 0 %, <0.1 %, 2.5 %, 40 %. */
export function share(part, whole) {
  const percent = whole > 0 ? (100 * part) / whole : 0;
  if (percent === 0) return '0 %';
  if (percent < 0.1) return '<0.1 %';
  return `${percent < 9.95 ? percent.toFixed(1) : Math.round(percent)} %`;
}

/** Milliseconds as a number and its unit, which is s from 10 s on. */
export function duration(ms) {
  if (ms === null || ms === undefined) return { number: NONE, unit: 'ms' };
  if (ms >= 9_950) return { number: (ms / 1000).toFixed(ms < 99_500 ? 1 : 0), unit: 's' };
  if (ms >= 9.95) return { number: WHOLE.format(Math.round(ms)), unit: 'ms' };
  return { number: ms.toFixed(ms < 0.995 ? 2 : 1), unit: 'ms' };
}

/** The same as one string. */
export function time(ms) {
  const { number, unit } = duration(ms);
  return number === NONE ? NONE : `${number} ${unit}`;
}

/** How many: 12,345. */
export function count(number) {
  return WHOLE.format(number);
}

/** 1 request, 2 requests. */
export function many(number, one, more = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : more}`;
}

/** The time of day. */
export function clock(date) {
  return CLOCK.format(date);
}

/** The day and the time of day. */
export function moment(date) {
  return MOMENT.format(date);
}
