"use strict";
// Figures as a person reads them, and the elements that show them. All text goes in as text nodes.

const SVG = "http://www.w3.org/2000/svg";

function put(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value !== undefined && value !== null) element.setAttribute(name, value);
  }
  for (const child of [children ?? []].flat()) element.append(child);
  return element;
}
const html = (name, attributes, children) => put(document.createElement(name), attributes, children);
const svg = (name, attributes, children) => put(document.createElementNS(SVG, name), attributes, children);

const words = (name) => name.replaceAll("_", " ");
const whole = (number) => Math.round(number).toLocaleString("en-US");
const plain = (number) => {
  const size = Math.abs(number);
  if (size >= 99.95) return whole(number);
  return number.toFixed(size === 0 || Number.isInteger(number) ? 0 : size < 1 ? 2 : 1);
};
const ms = (us) => {
  const time = us / 1000;
  return time < 9.995 ? time.toFixed(2) : time < 99.95 ? time.toFixed(1) : whole(time);
};
/** Microseconds with their unit. */
const lasting = (us) => {
  if (us < 1000) return `${plain(us)} µs`;
  if (us < 1e6) return `${Number((us / 1000).toPrecision(3))} ms`;
  return `${Number((us / 1e6).toPrecision(3))} s`;
};
const bytes = (size) => {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let unit = 0;
  while (Math.abs(size) >= 1000 && unit < units.length - 1) { size /= 1000; unit += 1; }
  return `${Number(size.toPrecision(3))} ${units[unit]}`;
};
const seconds = (time) => (time < 99.95 ? `${time.toFixed(1)} s` : clock(time));
const clock = (time) => {
  const all = Math.round(time);
  const two = (number) => String(number).padStart(2, "0");
  const hours = Math.floor(all / 3600);
  return hours ? `${hours}:${two(Math.floor(all / 60) % 60)}:${two(all % 60)}` : `${Math.floor(all / 60)}:${two(all % 60)}`;
};

/** Steps of 1, 2 and 5 that cut a range into about `count` parts. */
function steps(most, count) {
  const rough = most / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((part) => part * power).find((step) => step >= rough * 0.999);
  return Array.from({ length: Math.floor(most / step + 1.001) }, (_, index) => index * step);
}
/** Steps of a clock. */
function timeSteps(most, count) {
  const all = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];
  const step = all.find((step) => most / step <= count) ?? Math.ceil(most / count / 86400) * 86400;
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, index) => index * step);
}
