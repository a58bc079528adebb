"use strict";
// The data and what can be asked of it. Texts come from sources and models: they are shown by
// textContent and nothing else.

const $ = (id) => document.getElementById(id);
const data = JSON.parse($("timeline").textContent);
const updates = data.updates;
const count = updates.length;
const lives = Array.from({ length: data.heads }, () => []); // indexes of each head's updates
updates.forEach((update, index) => {
  const life = lives[update.head];
  update.before = life.length ? life[life.length - 1] : -1;
  life.push(index);
});

let position = 0; // index of the update shown
let pattern = null; // what finds the phrase
let sightings = []; // {index, head, entered}: where the phrase came and went

// ---- texts

const textOf = (index) =>
  index < 0 ? "" : updates[index].text.map((line) => data.lines[line]).join("\n");

// The last update of a head at a position, -1 where it has none yet.
function lastUpdate(head, at) {
  const life = lives[head];
  let low = 0;
  let high = life.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (life[middle] <= at) low = middle + 1;
    else high = middle;
  }
  return low ? life[low - 1] : -1;
}

// What an update left, brought and took, in order: {kind, text, from}, `from` being its place in the
// old text where it was removed, else in the new one.
function pieces(update, before, after) {
  const result = [];
  const add = (kind, text, from, end) => {
    if (end > from) result.push({ kind, text: text.slice(from, end), from });
  };
  let done = 0;
  for (let i = 0; i < update.edits.length; i += 4) {
    const [oldStart, oldEnd, newStart, newEnd] = update.edits.slice(i, i + 4);
    add("same", after, done, newStart);
    add("removed", before, oldStart, oldEnd);
    add("added", after, newStart, newEnd);
    done = newEnd;
  }
  add("same", after, done, after.length);
  return result;
}

// ---- phrases: the same rule as phrases.py

const ALIKE = [
  ["'‘’ʼ", "['‘’ʼ]"],
  ['"“”„', '["“”„]'],
  ["-‐‑‒–—", "[\\-‐‑‒–—]"],
];

function phrasePattern(phrase) {
  const char = (one) =>
    ALIKE.find(([chars]) => chars.includes(one))?.[1] ?? one.replace(/[\\^$.*+?()[\]{}|/]/, "\\$&");
  const parts = phrase.split(/\s+/).filter(Boolean);
  const words = parts.map((word) => Array.from(word, char).join(""));
  return words.length ? new RegExp(words.join("\\s+"), "giu") : null;
}

const holds = (text) => pattern !== null && text.search(pattern) >= 0;

function ranges(text) {
  if (!pattern) return [];
  return Array.from(text.matchAll(pattern), (match) => [match.index, match.index + match[0].length]);
}

function findSightings() {
  const held = new Array(data.heads).fill(false);
  const found = [];
  updates.forEach((update, index) => {
    const now = holds(textOf(index));
    if (now !== held[update.head]) found.push({ index, head: update.head, entered: now });
    held[update.head] = now;
  });
  return found;
}

const sightingBefore = () => sightings.findLast(({ index }) => index < position)?.index;
const sightingAfter = () => sightings.find(({ index }) => index > position)?.index;

// ---- words for people

const number = (value) => value.toLocaleString("en");
const amount = (value, one) => `${number(value)} ${one}${value === 1 ? "" : "s"}`;
const sourceName = (index) => data.sources[index] ?? "the document";
const shortName = (index) => sourceName(index).split(/[\\/]/).pop() || sourceName(index);
const span = (update) => `${number(update.span[0])}–${number(update.span[1])}`;

function chunk(update) {
  return update.span ? `${span(update)} of ${shortName(update.source)}` : "a chunk that is not stored";
}

function sentence(update) {
  const { step, head, added, removed, changed, byHand, kept } = update;
  const share = Math.max(1, Math.round(changed * 100));
  const change =
    added + removed
      ? `${amount(added, "word")} came, ${number(removed)} went: ${share}% changed.`
      : "It holds the same words.";
  if (byHand) return [`After step ${number(step)}`, `: head ${head} edited by hand. ${change}`];
  const when = `Step ${number(step)}`;
  if (kept) return [when, `: the reply about ${chunk(update)} was empty; head ${head} kept its text.`];
  return [when, `: head ${head} rewritten from ${chunk(update)}. ${change}`];
}

function listed(heads) {
  if (heads.length === 1) return `head ${heads[0]}`;
  return `heads ${heads.slice(0, -1).join(", ")} and ${heads.at(-1)}`;
}

// ---- making elements

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function makeButton(text, onClick, name) {
  const button = make("button", "", text);
  button.type = "button";
  if (name) {
    button.title = name;
    button.setAttribute("aria-label", name);
  }
  button.addEventListener("click", onClick);
  return button;
}
