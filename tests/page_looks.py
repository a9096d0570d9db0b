"""What a browser is asked about a page: can every text be read, does anything overlap or stand outside."""

from __future__ import annotations

# Every text's colour against what lies under it: backgrounds of its ancestors, blended. WCAG 2.2, 1.4.3.
CONTRAST = """(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const seen = new Map();
  const rgba = (text) => {
    if (!seen.has(text)) {
      canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
      seen.set(text, [r, g, b, a / 255]);
    }
    return seen.get(text);
  };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  const ground = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) layers.push(rgba(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255, 1]);
  };
  const linear = (c) => (c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => [r, g, b].map((c) => linear(c / 255))
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const bad = [];
  let looked = 0;
  for (let node; (node = walker.nextNode());) {
    const element = node.parentElement;
    if (!node.data.trim() || element.closest("script,style")
      || !element.getClientRects().length) continue;
    looked += 1;
    const style = getComputedStyle(element), under = ground(element);
    const colour = element.closest("svg") ? style.fill : style.color;
    const [a, b] = [light(over(rgba(colour), under)), light(under)].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    const name = element.className.baseVal ?? element.className;
    if (ratio < 4.5) bad.push(`${ratio.toFixed(2)} ${element.tagName}.${name}`);
  }
  return { looked, bad: [...new Set(bad)] };
})()"""

# Headings whose words are cut off, or that lie on other headings or under the text before them.
HEADINGS = """(() => {
  const all = [...document.querySelectorAll("h1,h2,h3,h4,.eyebrow")].filter((e) => e.getClientRects().length);
  const boxes = all.map((e) => e.getBoundingClientRect());
  const cut = all.filter((e, i) => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== "inline-block"
    || boxes[i].left < 0 || boxes[i].right > innerWidth + 1);
  const laps = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
  const lapping = all.filter((e, i) => boxes.some((box, j) => j > i && laps(boxes[i], box)));
  return [...cut, ...lapping].map((e) => e.textContent.slice(0, 60));
})()"""

CHART_TEXT = """(() => [...document.querySelectorAll("svg.chart")].flatMap((chart) => {
  const frame = chart.getBoundingClientRect();
  return [...chart.querySelectorAll("text")].filter((text) => {
    const box = text.getBoundingClientRect();
    return box.left < frame.left - 2 || box.right > frame.right + 2 || box.top < frame.top - 2
      || box.bottom > frame.bottom + 2 || box.height < 5;
  }).map((text) => text.textContent);
}))()"""
