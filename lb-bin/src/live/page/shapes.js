// Colours and shapes of the picture, on a canvas.

/** The colours of the page's style, as a canvas takes them. */
export function palette(element) {
  const probe = document.createElement('span');
  element.append(probe);
  const of = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const names = [
    'ink', 'soft', 'line', 'surface', 'ground', 'accent', 'wall',
    'k2', 'k3', 'k4', 'k5', 'ready', 'connecting', 'ejected', 'draining', 'down', 'gone',
  ];
  const colors = Object.fromEntries(names.map((name) => [name, of(name)]));
  probe.remove();
  return colors;
}

/** What kind of answer this status is: the classes, but 1 is as 3. */
export function kind(status) {
  const first = Math.floor(status / 100);
  if (first === 2) return 'k2';
  if (first === 1 || first === 3) return 'k3';
  return first === 4 ? 'k4' : 'k5';
}

/** A request, in the shape and colour of its kind. */
export function request(context, colors, what, x, y, radius) {
  context.fillStyle = context.strokeStyle = colors[what];
  context.beginPath();
  if (what === 'k4') {
    const half = radius * 1.25;
    context.moveTo(x, y - half);
    context.lineTo(x + half, y);
    context.lineTo(x, y + half);
    context.lineTo(x - half, y);
    context.fill();
  } else if (what === 'k5') {
    context.lineWidth = Math.max(radius * 0.7, 1.8);
    context.lineCap = 'round';
    context.moveTo(x - radius, y - radius);
    context.lineTo(x + radius, y + radius);
    context.moveTo(x + radius, y - radius);
    context.lineTo(x - radius, y + radius);
    context.stroke();
  } else if (what === 'k3') {
    context.lineWidth = Math.max(radius * 0.55, 1.5);
    context.arc(x, y, radius * 0.85, 0, 2 * Math.PI);
    context.stroke();
  } else {
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.fill();
  }
}

/** A bar with round ends. */
export function bar(context, x, y, width, height, color) {
  if (width <= 0 || height <= 0) return;
  context.fillStyle = color;
  context.beginPath();
  context.roundRect(x, y, width, height, Math.min(width, height) / 2);
  context.fill();
}

/** Text that ends in an ellipsis where it would be too wide. */
export function text(context, words, x, y, width) {
  context.fillText(shortened(context, words, width), x, y);
}

function shortened(context, words, width) {
  if (context.measureText(words).width <= width) return words;
  let [least, most] = [0, words.length];
  while (least < most) {
    const middle = Math.ceil((least + most) / 2);
    if (context.measureText(`${words.slice(0, middle)}…`).width <= width) least = middle;
    else most = middle - 1;
  }
  return `${words.slice(0, least)}…`;
}
