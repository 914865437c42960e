// The pause before another attempt.

const FIRST_MS = 500;
const MAX_MS = 15_000; // a person who looks at the page does not wait longer without pressing reload

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Half of the delay is drawn by lot, so that the tabs of a fallen server do not return together.
export const backoff = (attempt) => Math.min(MAX_MS, FIRST_MS * 2 ** attempt) * (0.5 + Math.random() / 2);
