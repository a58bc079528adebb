// The heads at a position, with what changed marked, and the runs.

function card(head) {
  const index = lastUpdate(head, position);
  const now = index >= 0 && index === position;
  const element = make("section", now ? "head now" : "head");
  element.setAttribute("aria-label", `Head ${head}`);
  element.append(cardHeader(head, index, now), cardFacts(index), cardText(head, index, now));
  return element;
}

function cardHeader(head, index, now) {
  const header = make("header");
  header.append(make("h2", "", `Head ${head}`));
  if (now) header.append(make("span", "badge", badge(updates[index])));
  const buttons = make("span", "life");
  const turn = (sign, name, target) => {
    const button = makeButton(sign, () => goFrom(head, target, name), `${name} update of head ${head}`);
    button.disabled = target === undefined;
    buttons.append(button);
  };
  turn("‹", "Previous", lives[head].findLast((at) => at < position));
  turn("›", "Next", lives[head].find((at) => at > position));
  header.append(buttons);
  return header;
}

// The cards are made anew: the focus goes to the button that was pressed, as it is now.
function goFrom(head, target, name) {
  show(target);
  $("heads").children[head].querySelector(`button[aria-label^="${name}"]`).focus();
}

const badge = ({ kept, byHand }) =>
  kept ? "empty reply" : byHand ? "edited by hand" : "rewritten";

function cardFacts(index) {
  const element = make("p", "facts");
  if (index < 0) {
    element.append(make("span", "", "never written"));
    return element;
  }
  const update = updates[index];
  const when = `${update.byHand ? "by hand after step" : "step"} ${number(update.step)}`;
  element.append(make("span", "", `${when} · ${amount(update.tokens, "token")}`));
  if (update.span) {
    const place = data.sources.length > 1 ? chunk(update) : span(update);
    element.append(make("span", "", update.kept ? `empty reply at ${place}` : `from ${place}`));
    element.title = `${span(update)} of ${sourceName(update.source)}`;
  }
  return element;
}

function cardText(head, index, now) {
  const box = make("div", "text");
  box.tabIndex = 0; // it scrolls, so the keyboard must reach it
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", `Text of head ${head}`);
  const after = textOf(index);
  const before = now ? textOf(updates[index].before) : "";
  const parts = now ? pieces(updates[index], before, after) : [{ kind: "same", text: after, from: 0 }];
  const found = { old: ranges(before), new: ranges(after) };
  for (const { kind, text, from } of parts) {
    const element = make({ same: "span", added: "ins", removed: "del" }[kind]);
    fill(element, text, from, kind === "removed" ? found.old : found.new);
    box.append(element);
  }
  if (!box.textContent) box.append(make("span", "quiet", "holds nothing"));
  return box;
}

// A text with the phrase marked; `from` is its place in the text that was searched.
function fill(element, text, from, found) {
  let done = 0;
  for (const [start, end] of found) {
    const first = Math.max(start - from, done);
    const last = Math.min(end - from, text.length);
    if (first >= last) continue;
    element.append(text.slice(done, first), make("mark", "", text.slice(first, last)));
    done = last;
  }
  element.append(text.slice(done));
}

function showHeads() {
  $("heads").replaceChildren(...lives.map((_, head) => card(head)));
  for (const box of $("heads").querySelectorAll(".text")) {
    const first = box.querySelector("mark") ?? box.querySelector("ins, del");
    if (first) box.scrollTop = Math.max(0, first.offsetTop - box.offsetTop - 60);
  }
}

// The head that changed is brought into the window, below the panel; of many heads it stands first.
function revealHead(head) {
  const panel = $("panel");
  if (getComputedStyle(panel).position !== "sticky") return;
  const element = $("heads").children[head];
  element.style.scrollMarginTop = `${panel.offsetHeight + 8}px`;
  element.scrollIntoView({ block: "nearest" });
}

function runCard(run, index) {
  const element = make("article");
  const end = run.end - 1;
  const steps = end < run.start ? "no steps" : `steps ${number(run.start)} to ${number(end)}`;
  const title = make("h2", "", `Run ${index + 1} `);
  title.append(make("span", "quiet", `· ${steps}${run.finished ? "" : " · not finished"}`));
  const facts = make("dl");
  const told = { Question: run.question, Answer: run.answer, Read: run.sources.map(sourceName).join(", ") };
  for (const [term, text] of Object.entries(told))
    if (text) facts.append(make("dt", "", term), make("dd", "", text));
  element.append(title, facts);
  const first = updates.findIndex((update) => update.run === index);
  if (first >= 0 && data.runs.length > 1) element.append(makeButton("Go to its first step", () => show(first)));
  return element;
}
