// How many pixels of a canvas are painted, from one part of its width to another one.

const [id, from, to] = arguments;
const { width, height } = document.getElementById(id);
const [left, right] = [Math.round(width * from), Math.round(width * to)];
const copy = new OffscreenCanvas(right - left, height).getContext('2d', { willReadFrequently: true });
copy.drawImage(document.getElementById(id), -left, 0);
const { data } = copy.getImageData(0, 0, right - left, height);
let painted = 0;
for (let at = 3; at < data.length; at += 4) if (data[at] > 127) painted += 1;
return painted;
