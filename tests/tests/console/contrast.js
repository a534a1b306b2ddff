// Every text that is to be seen and doesn't stand out enough from what is behind it (WCAG 2.2, 1.4.3): a list of sentences.
const parse = (colour) => {
  const canvas = (window.contrastCanvas ??= document.createElement("canvas").getContext("2d", { willReadFrequently: true }));
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
};
const over = (front, back) => {
  const share = front[3];
  return [0, 1, 2].map((at) => front[at] * share + back[at] * (1 - share)).concat(1);
};
const light = ([r, g, b]) => {
  const [x, y, z] = [r, g, b].map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
};
const behind = (element) => {
  const layers = [];
  for (let at = element; at; at = at.parentElement) {
    const colour = parse(getComputedStyle(at).backgroundColor);
    if (colour[3] > 0) layers.push(colour);
    if (colour[3] === 1) break;
  }
  return layers.reverse().reduce((back, front) => over(front, back), [255, 255, 255, 1]);
};
const found = new Set();
const look = (element, colour, what) => {
  const box = element.getBoundingClientRect();
  const style = getComputedStyle(element);
  if (box.width < 2 || box.height < 2 || style.visibility === "hidden" || style.clipPath !== "none") return;
  const back = behind(element);
  const front = over(parse(colour), back);
  const [a, b] = [light(front), light(back)];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  const size = parseFloat(style.fontSize);
  const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  if (ratio < (large ? 3 : 4.5)) {
    found.add(`${what.trim().slice(0, 40)}: ${ratio.toFixed(2)} (${colour} on ${back.slice(0, 3).map(Math.round)})`);
  }
};
const root = document.querySelector("dialog[open]") ?? document.body;
for (const element of root.querySelectorAll("*")) {
  const texts = [...element.childNodes].filter((node) => node.nodeType === 3 && node.data.trim());
  const style = getComputedStyle(element);
  if (texts.length) look(element, element instanceof SVGElement ? style.fill : style.color, texts[0].data);
  if (element.matches("input:not([type=checkbox]), textarea, select")) {
    if (element.value) look(element, style.color, element.value);
    if (element.placeholder) look(element, getComputedStyle(element, "::placeholder").color, element.placeholder);
  }
}
return [...found];
