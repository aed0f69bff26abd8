// Paints the picture: the ground, with names and ways, and what moves above it.

import { FADES } from './flight.js';
import { rate, time } from './format.js';
import { WALL, clientHeight, gate, inRow, way } from './geometry.js';
import { bar, request, text } from './shapes.js';

/** What stands still between two ticks. `still`: bars stand for what would fly. */
export function paintGround(context, { at, colors, family, rows, flight, still }) {
  const font = (weight, size) => `${weight} ${size * at.scale}px ${family}`;
  context.clearRect(0, 0, at.width, at.height);
  context.textBaseline = 'middle';
  for (const row of rows.all) {
    context.globalAlpha = row.presence;
    if (!still) paintWay(context, at, colors, row);
  }
  context.globalAlpha = 1;
  paintBalancer(context, at, colors, font);
  if (!at.narrow) paintClients(context, at, colors, font, flight);

  context.textAlign = 'left';
  const left = at.paddles + 20;
  const space = at.names - 22;
  context.font = font(600, 12);
  context.fillStyle = colors.soft;
  for (const group of rows.groups) {
    if (group.y !== null) text(context, group.name, left, group.y, space);
  }
  const most = Math.max(...rows.all.map((row) => row.counted.last.rate), 1);
  for (const row of rows.all) {
    context.globalAlpha = row.presence;
    if (still) paintShare(context, at, colors, row, most);
    paintName(context, at, colors, font, row, left, space);
  }
  context.globalAlpha = 1;
}

/** What moves: paddles, requests, and what becomes of them. */
export function paintFlight(context, { at, colors, family, rows, flight }) {
  context.clearRect(0, 0, at.width, at.height);
  for (const { y, age } of flight.hits) {
    context.globalAlpha = 0.8 * (1 - age / FADES);
    bar(context, at.wall - WALL, y - 20, 2 * WALL, 40, colors.accent);
  }
  for (const row of rows.all) paintPaddle(context, at, colors, row);
  for (const sent of flight.requests) paintRequest(context, at, colors, sent, flight.done(sent));
  context.font = `600 ${12 * at.scale}px ${family}`;
  context.textAlign = 'right';
  context.textBaseline = 'middle';
  context.fillStyle = colors.ink;
  for (const { x, y, text: words, age } of flight.notes) {
    context.globalAlpha = 1 - age / FADES;
    context.fillText(words, Math.max(x, context.measureText(words).width + 6), y - 24 - 18 * age);
  }
  context.globalAlpha = 1;
}

/** The way from the balancer to a row, broken where nothing is sent. */
function paintWay(context, at, colors, row) {
  const y = gate(at, row);
  const middle = (at.wall + at.paddles) / 2;
  context.strokeStyle = colors.line;
  context.lineWidth = 1.5;
  context.setLineDash(row.state === 'ready' ? [] : [3, 6]);
  context.beginPath();
  context.moveTo(at.wall, y);
  context.bezierCurveTo(middle, y, middle, row.y, at.paddles, row.y);
  context.stroke();
  context.setLineDash([]);
}

function paintBalancer(context, at, colors, font) {
  bar(context, at.wall - WALL, 12, 2 * WALL, at.height - 24, colors.wall);
  context.save();
  context.translate(at.wall, at.height / 2);
  context.rotate(-Math.PI / 2);
  context.textAlign = 'center';
  context.font = font(600, 11);
  context.fillStyle = colors.soft;
  context.fillText('balancer', 0, 0.5);
  context.restore();
}

function paintClients(context, at, colors, font, flight) {
  context.textAlign = 'right';
  context.font = font(400, 12);
  for (const { slot, name, seen } of flight.clients.values()) {
    const y = clientHeight(at, slot);
    context.globalAlpha = flight.now - seen < 10 ? 1 : 0.5;
    context.fillStyle = colors.soft;
    text(context, name || 'clients', at.clients - 14, y, at.clients - 26);
    bar(context, at.clients - 8, y - 4, 8, 8, colors.accent);
  }
  context.globalAlpha = 1;
}

/** Its name and, where there is room, its figures or what is wrong. */
function paintName(context, at, colors, font, row, x, space) {
  if (row.height < 12 * at.scale) return;
  const ready = row.state === 'ready';
  const two = row.height >= 33 * at.scale;
  context.font = font(600, row.height < 18 * at.scale ? 11 : 13);
  context.fillStyle = ready ? colors.ink : colors.soft;
  const name = two || ready ? row.name : `${row.name} ${row.state}`;
  text(context, name, x, two ? row.y - 8 * at.scale : row.y, space);
  if (!two) return;
  const { rate: perSecond, p50 } = row.counted.last;
  const figures = `${rate(perSecond)}/s${p50 === null ? '' : ` · ${time(p50)}`}`;
  context.font = font(ready ? 400 : 600, 12);
  context.fillStyle = ready ? colors.soft : (colors[row.state] ?? colors.soft);
  text(context, ready ? figures : row.state, x, row.y + 9 * at.scale, space);
}

/** How much goes there, and how much of it fails, beside what goes to the others. */
function paintShare(context, at, colors, row, most) {
  const { rate: perSecond, errors } = row.counted.last;
  const end = at.paddles - 10;
  const length = ((end - at.wall - WALL - 10) * perSecond) / most;
  const failed = perSecond > 0 ? (length * Math.min(errors, perSecond)) / perSecond : 0;
  const height = Math.min(row.height * 0.4, 18);
  bar(context, end - length, row.y - height / 2, length - failed, height, colors.k2);
  bar(context, end - failed, row.y - height / 2, failed, height, colors.k5);
}

/** One that isn't ready is hollow. */
function paintPaddle(context, at, colors, row) {
  const length = Math.max(Math.min(row.height * 0.56, 34 * at.scale), 2);
  const y = inRow(row, row.paddle) - length / 2;
  const color = colors[row.state] ?? colors.gone;
  if (row.flash > 0) {
    context.globalAlpha = 0.3 * row.flash * row.presence;
    bar(context, at.paddles - 5, y - 5, 19, length + 10, color);
  }
  context.globalAlpha = row.presence;
  if (row.state === 'ready') {
    bar(context, at.paddles, y, 9, length, color);
    return;
  }
  context.strokeStyle = color;
  context.lineWidth = 2;
  context.beginPath();
  context.roundRect(at.paddles + 1, y + 1, 7, Math.max(length - 2, 1), 3.5);
  context.stroke();
}

function paintRequest(context, at, colors, sent, done) {
  const { falling, what, radius } = sent;
  if (falling) {
    context.globalAlpha = Math.max(0, 1 - falling.age / FADES);
    request(context, colors, what, falling.x, falling.y, radius);
    return;
  }
  if (done < 0) return;
  const { x, y } = way(at, sent, Math.min(done, 1));
  context.strokeStyle = colors[what];
  context.lineCap = 'round';
  for (const [back, width, alpha] of [[0.06, 0.8, 0.13], [0.03, 1.3, 0.2]]) {
    const tail = way(at, sent, Math.max(done - back, 0));
    context.globalAlpha = alpha;
    context.lineWidth = radius * width;
    context.beginPath();
    context.moveTo(tail.x, tail.y);
    context.lineTo(x, y);
    context.stroke();
  }
  context.globalAlpha = 1;
  request(context, colors, what, x, y, radius);
}
