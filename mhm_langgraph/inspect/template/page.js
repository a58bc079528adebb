// Going from update to update, searching, and the start.

let noting; // browsers refuse an address that changes too often

function show(target, moved = true) {
  position = Math.min(count - 1, Math.max(0, target));
  const update = updates[position];
  const [when, what] = sentence(update);
  $("what").replaceChildren(make("strong", "", when), what);
  $("slider").value = position;
  $("slider").setAttribute("aria-valuetext", when + what);
  $("first").disabled = $("previous").disabled = position === 0;
  $("last").disabled = $("next").disabled = position === count - 1;
  movePlayhead();
  showHeads();
  showFound();
  showOrigin(update);
  if (moved) revealHead(update.head);
  clearTimeout(noting);
  noting = setTimeout(() => history.replaceState(null, "", `#${position}`), 200);
}

function showOrigin(update) {
  const when = update.at.slice(0, 19).replace("T", " ");
  const told = `Update ${number(position + 1)} of ${number(count)}, ${when} UTC. To fork from here: checkpoint `;
  $("origin").replaceChildren(told, make("code", "", update.checkpoint));
  Array.from($("runs").children, (run, index) => run.classList.toggle("now", index === update.run));
}

function search() {
  pattern = phrasePattern($("phrase").value);
  sightings = pattern ? findSightings() : [];
  drawSightings();
  $("sightings").hidden = $("legend-held").hidden = !sightings.length;
  $("events").replaceChildren(...sightings.map(sightingItem));
  show(position, false);
}

function sightingItem({ index, head, entered }) {
  const what = entered ? `▲ came into head ${head}` : `▽ went from head ${head}`;
  const item = make("li");
  item.append(makeButton(`${what} at step ${number(updates[index].step)}`, () => show(index)));
  return item;
}

function showFound() {
  $("earlier").disabled = sightingBefore() === undefined;
  $("later").disabled = sightingAfter() === undefined;
  Array.from($("events").children, (item, at) =>
    item.classList.toggle("now", sightings[at].index === position));
  $("found").textContent = pattern ? foundSentence() : "";
}

function foundSentence() {
  const phrase = `“${$("phrase").value.trim()}”`;
  if (!sightings.length) return `${phrase} was never in memory.`;
  const heads = lives.map((_, head) => head);
  const holding = heads.filter((head) => holds(textOf(lastUpdate(head, position))));
  const where = holding.length ? `in ${listed(holding)}` : "in no head";
  const came = sightings.filter(({ entered }) => entered).length;
  const went = sightings.length - came;
  const gone = went ? `went ${amount(went, "time")}` : "never went";
  return `${phrase} is ${where} after this step. It came ${amount(came, "time")} and ${gone}.`;
}

function go(target) {
  if (target !== undefined) show(target);
}

function onKey(event) {
  if (event.altKey || event.ctrlKey || event.metaKey || event.target === $("slider")) return;
  if (event.target === $("phrase")) {
    if (event.key === "Enter") go(event.shiftKey ? sightingBefore() : sightingAfter());
    if (event.key === "Escape") $("phrase").blur();
    return;
  }
  const action = KEYS[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}

const MOVES = {
  first: () => show(0),
  previous: () => show(position - 1),
  next: () => show(position + 1),
  last: () => show(count - 1),
  earlier: () => go(sightingBefore()),
  later: () => go(sightingAfter()),
};
const KEYS = {
  Home: MOVES.first,
  ArrowLeft: MOVES.previous,
  ArrowRight: MOVES.next,
  End: MOVES.last,
  "/": () => $("phrase").focus(),
};

function listen() {
  for (const [id, move] of Object.entries(MOVES)) $(id).addEventListener("click", move);
  $("slider").max = count - 1;
  $("slider").addEventListener("input", () => show(Number($("slider").value)));
  $("lanes").addEventListener("click", (event) => show(positionAt(event)));
  $("phrase").addEventListener("input", search);
  $("removed").addEventListener("change", () =>
    document.body.classList.toggle("without-removed", !$("removed").checked));
  document.addEventListener("keydown", onKey);
  addEventListener("hashchange", () => go(positionInAddress()));
}

function positionInAddress() {
  return /^#\d+$/.test(location.hash) ? Number(location.hash.slice(1)) : undefined;
}

function showFacts() {
  const parts = [amount(data.heads, "head"), amount(data.steps, "step"), amount(data.runs.length, "run")];
  if (data.missing) parts.push(`${amount(data.missing, "step")} not stored`);
  parts.push(...data.sources.map((_, index) => sourceName(index)));
  $("facts").textContent = parts.join(" · ");
  $("thread").textContent = data.thread + (data.namespace ? ` (${data.namespace})` : "");
  document.title = `Memory of thread ${data.thread}`;
  $("legend-kept").hidden = !updates.some(({ kept }) => kept);
  $("legend-hand").hidden = !updates.some(({ byHand }) => byHand);
}

function start() {
  showFacts();
  $("runs").append(...data.runs.map(runCard));
  $("player").hidden = false;
  $("nothing").hidden = count > 0;
  $("panel").hidden = $("legend").hidden = $("origin").hidden = !count;
  if (!count) return;
  document.body.classList.toggle("many-heads", data.heads > 12);
  drawLanes();
  listen();
  show(positionInAddress() ?? data.open, false);
}

start();
