// What a page can be asked by itself: names of controls, contrast of text, jumps of the layout.

const CONTRAST_MIN = 4.5; // WCAG 2.2, 1.4.3, for text of ordinary size
const SHIFT_MAX = 0.002; // a fiftieth of what Web Vitals call good: a few pixels of one label

// Faults that a screen reader or a keyboard would meet, as sentences; none is an empty list.
export function nameFaults(page) {
  return page.evaluate(() => {
    const visible = (node) => node.checkVisibility({ visibilityProperty: true }) && !node.closest("[aria-hidden=true]");
    const nameOf = (node) => {
      const by = node.getAttribute("aria-labelledby");
      if (by) return by.split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join(" ");
      if (node.getAttribute("aria-label")) return node.getAttribute("aria-label");
      if (node.labels?.length) return [...node.labels].map((label) => label.textContent).join(" ");
      return node.matches("input, textarea, select") ? "" : node.textContent;
    };
    const faults = [];
    const controls = document.querySelectorAll("button, a[href], input, textarea, select, [role], [tabindex='0'], nav, aside, section, dialog[open]");
    for (const node of [...controls].filter(visible)) {
      if (node.matches("[role=status], [role=alert]")) continue; // what they say is their content
      if (!nameOf(node).trim()) faults.push(`no name: ${node.outerHTML.slice(0, 120)}`);
    }
    const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
    for (const id of new Set(ids.filter((id, at) => ids.indexOf(id) !== at))) faults.push(`id twice: ${id}`);
    for (const attribute of ["aria-labelledby", "aria-describedby", "aria-controls"]) {
      for (const node of document.querySelectorAll(`[${attribute}]`)) {
        const lost = node.getAttribute(attribute).split(" ").filter((id) => !document.getElementById(id));
        if (lost.length) faults.push(`${attribute} names nothing: ${lost}`);
      }
    }
    if (!document.documentElement.lang) faults.push("the page has no language");
    for (const [name, selector] of [["h1", "h1"], ["main", "main"]]) {
      const count = [...document.querySelectorAll(selector)].filter(visible).length;
      if (count !== 1 && !(name === "main" && document.body.dataset.pane === "list" && innerWidth < 720)) faults.push(`${count} visible ${name}`);
    }
    return faults;
  });
}

// Text that stands out too little from its ground, as sentences.
export function contrastFaults(page) {
  return page.evaluate((min) => {
    const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgba = (colour) => {
      context.clearRect(0, 0, 1, 1);
      context.fillStyle = colour;
      context.fillRect(0, 0, 1, 1);
      return [...context.getImageData(0, 0, 1, 1).data];
    };
    const luminance = ([r, g, b]) => {
      const [x, y, z] = [r, g, b].map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const groundOf = (node) => {
      for (let at = node; at; at = at.parentElement) {
        const ground = rgba(getComputedStyle(at).backgroundColor);
        if (ground[3] === 255) return ground;
      }
      return [255, 255, 255, 255];
    };
    const faults = new Set();
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let text = walker.nextNode(); text; text = walker.nextNode()) {
      const node = text.parentElement;
      if (!text.data.trim() || !node.checkVisibility() || node.closest(".sr-only, :disabled")) continue;
      const [a, b] = [luminance(rgba(getComputedStyle(node).color)), luminance(groundOf(node))];
      const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      if (ratio < min) faults.add(`contrast ${ratio.toFixed(2)}: "${text.data.trim().slice(0, 40)}"`);
    }
    return [...faults];
  }, CONTRAST_MIN);
}

// Whether the page is wider than its window.
export const overflows = (page) =>
  page.evaluate(() => document.documentElement.scrollWidth > innerWidth || document.body.scrollWidth > innerWidth);

// To be called before the page is opened; `shiftFault` then says whether it jumped.
export const watchShifts = (page) =>
  page.addInitScript(() => {
    window.shifts = [];
    new PerformanceObserver((list) => {
      for (const { value, hadRecentInput, sources } of list.getEntries()) {
        if (!hadRecentInput) window.shifts.push({ value, what: sources.map(({ node }) => node?.id || node?.className || node?.nodeName) });
      }
    }).observe({ type: "layout-shift", buffered: true });
  });

export async function shiftFault(page) {
  const shifts = await page.evaluate(() => window.shifts);
  const sum = shifts.reduce((total, { value }) => total + value, 0);
  return sum <= SHIFT_MAX ? "" : `the layout jumped by ${sum.toFixed(3)}: ${JSON.stringify(shifts)}`;
}
