// Every text that is seen whose contrast to what is behind it is below 4.5; of the picture
// and its legend, of which nothing can be looked up, every colour that may be seen there;
// marks are to have one of 3.

const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });

/** Red, green, blue from 0 to 255, and alpha from 0 to 1, of any colour of CSS. */
function parts(color) {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = color;
  canvas.fillRect(0, 0, 1, 1);
  const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data;
  return { rgb: [red, green, blue], alpha: alpha / 255 };
}

function behind(element) {
  const layers = [];
  for (let at = element; at; at = at.parentElement) {
    const layer = parts(getComputedStyle(at).backgroundColor);
    layers.push(layer);
    if (layer.alpha === 1) break;
  }
  return layers.reverse().reduce((below, { rgb, alpha }) =>
    ({ rgb: rgb.map((value, at) => value * alpha + below.rgb[at] * (1 - alpha)), alpha: 1 }),
  { rgb: [255, 255, 255], alpha: 1 }).rgb;
}

function luminance(rgb) {
  const [red, green, blue] = rgb.map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(one, other) {
  const [dark, bright] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (bright + 0.05) / (dark + 0.05);
}

const found = [];
let looked = 0;
for (const element of document.querySelectorAll('body *')) {
  const words = [...element.childNodes]
    .filter((node) => node.nodeType === Node.TEXT_NODE)
    .map((node) => node.data.trim())
    .join('');
  const shown = element.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  const { width, height } = element.getBoundingClientRect();
  if (!words || !shown || width <= 1 || height <= 1) continue;
  looked += 1;
  const style = getComputedStyle(element);
  const ratio = contrast(parts(style.color).rgb, behind(element));
  if (ratio < 4.5) found.push(`${ratio.toFixed(2)}: ${element.tagName}.${element.className} ${words}`);
}

const probe = document.body.appendChild(document.createElement('span'));
const named = (name) => {
  probe.style.color = `var(--${name})`;
  return parts(getComputedStyle(probe).color).rgb;
};
const check = (names, grounds, least) => {
  for (const name of names) {
    for (const ground of grounds) {
      const ratio = contrast(named(name), named(ground));
      if (ratio < least) found.push(`${ratio.toFixed(2)}: ${name} on ${ground}`);
    }
  }
};
check(['ink', 'soft', 'connecting', 'ejected', 'draining', 'down', 'gone'], ['ground'], 4.5);
check(['soft'], ['wall'], 4.5);
check(['k2', 'k3', 'k4', 'k5', 'ready', 'accent'], ['ground', 'surface'], 3);
probe.remove();
return [looked, found];
