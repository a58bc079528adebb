// The timeline: a lane for each head, a bar for each update, the phrase's comings and goings.

const rowHeight = data.heads > 24 ? 8 : data.heads > 8 ? 16 : 28;
const stripHeight = rowHeight > 8 ? 4 : 2; // what shows that a head holds the phrase
const barWidth = Math.max(1, count / 900); // in updates: never thinner than can be seen

function rect(className, x, y, width, height) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  element.setAttribute("class", className);
  for (const [key, value] of Object.entries({ x, y, width, height })) element.setAttribute(key, value);
  return element;
}

function drawLanes() {
  const drawing = $("drawing");
  const height = data.heads * rowHeight;
  drawing.setAttribute("viewBox", `0 0 ${count} ${height}`);
  drawing.style.height = `${height}px`;
  drawing.setAttribute("aria-label", `${data.heads} heads in rows, ${count} updates from left to right`);
  for (let head = 0; head < data.heads; head++) {
    if (head) drawing.append(rect("row", 0, head * rowHeight, count, 0.5));
    const label = make("div", "", data.heads > 24 ? "" : `head ${head}`);
    label.style.height = `${rowHeight}px`;
    $("labels").append(label);
  }
  drawing.append(...updates.map(bar));
  updates.forEach(({ run }, index) => {
    if (index && run !== updates[index - 1].run) drawing.append(rect("run", index, 0, count / 900, height));
  });
  drawing.append(rect("playhead", 0, 0, Math.max(1, count / 250), height));
  drawAxis();
}

function bar(update, index) {
  const kind = update.kept ? "kept" : update.byHand ? "hand" : "write";
  const height = update.kept ? 2 : (rowHeight - stripHeight - 3) * (0.12 + 0.88 * update.changed);
  const inset = barWidth > 1 ? 0 : 0.08;
  const y = (update.head + 1) * rowHeight - stripHeight - height;
  return rect(`bar ${kind}`, index + inset, y, barWidth - 2 * inset, height);
}

function drawAxis() {
  const powers = [1, 10, 100, 1e3, 1e4, 1e5, 1e6];
  const every = powers.flatMap((power) => [power, 2 * power, 5 * power]).find((n) => count / n <= 12);
  for (let index = 0; index < count; index += every)
    $("axis").append(placed(make("span", "", number(updates[index].step)), index));
}

function placed(element, index) {
  element.style.left = `${((index + 0.5) / count) * 100}%`;
  return element;
}

function drawSightings() {
  const drawing = $("drawing");
  drawing.querySelectorAll(".held").forEach((element) => element.remove());
  $("marks").replaceChildren();
  const since = new Map();
  const strip = (head, start, end) =>
    drawing.append(rect("held", start, (head + 1) * rowHeight - stripHeight, end - start, stripHeight));
  for (const { index, head, entered } of sightings) {
    if (entered) since.set(head, index);
    else strip(head, since.get(head), index);
    if (!entered) since.delete(head);
    const mark = placed(make("span", entered ? "came" : "went", entered ? "▲" : "▽"), index);
    mark.style.top = `${(head + 1) * rowHeight - 12}px`;
    $("marks").append(mark);
  }
  since.forEach((start, head) => strip(head, start, count));
}

function movePlayhead() {
  const playhead = $("drawing").querySelector(".playhead");
  playhead.setAttribute("x", position + 0.5 - Number(playhead.getAttribute("width")) / 2);
  const { head } = updates[position];
  Array.from($("labels").children, (label, index) => label.classList.toggle("now", index === head));
}

function positionAt(event) {
  const box = $("drawing").getBoundingClientRect();
  return Math.floor(((event.clientX - box.left) / box.width) * count);
}
