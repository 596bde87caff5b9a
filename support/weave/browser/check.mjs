// Looks at every page of the built book in a real browser, from its file, without the network.
//
//   node check.mjs [--book FOLDER] [--pages TEXT] [--shots FOLDER]
//
// Each page is opened three times. At 1280 and at 390 pixels, in a light and a dark theme: nothing on
// the console, no request that fails or leaves the folder, no finding of axe (WCAG 2.2 A and AA, and
// best practices), nothing that scrolls sideways but code itself. By keyboard alone the sidebar opens,
// the theme changes and a fold opens, and what has the focus shows it. Deleted lines are not copied
// along; a recording is stepped through. Then without JavaScript: the text, every deleted line and
// every recorded event can be read. At last the search is tried with some words.

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const here = dirname(fileURLToPath(import.meta.url));
const options = new Map();
for (let n = 2; n < process.argv.length; n += 2) options.set(process.argv[n], process.argv[n + 1]);
const book = resolve(options.get("--book") ?? join(here, "../../../book/book"));
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const THEMES = ["light", "navy"];
const SIZES = [{ width: 1280, height: 900 }, { width: 390, height: 844 }];
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
// Axe computes the colours of every piece of every line. All lines are made by one function, and the
// pages that show whole crates have tens of thousands: of each listing it sees so many. The page for
// printing is all the others once more: of that it sees the first chapters.
const LINES = 25;
const BLOCKS = 100;
// Each must be found, and the first result must be a page that can be opened.
const SEARCHES = ["readiness", "checkout", "backpressure"];
const TABS = 200;

// What was found, with the places: one cause, such as a style sheet, may be found on every page.
const found = new Map();
const report = (where, what) => {
  if (!found.has(what)) console.error(`  ${where}: ${what}`);
  found.set(what, [...(found.get(what) ?? []), where]);
};

function browserPath() {
  for (const name of ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]) {
    try {
      return execFileSync("which", [name], { stdio: ["ignore", "pipe", "ignore"] }).toString().trim();
    } catch {
      // The next name may be there.
    }
  }
  console.error("no Chromium found (Debian: apt install chromium)");
  process.exit(2);
}

function pages() {
  if (!existsSync(book)) return [];
  return readdirSync(book, { withFileTypes: true, recursive: true })
    .filter(entry => entry.isFile() && entry.name.endsWith(".html"))
    .map(entry => relative(book, join(entry.parentPath, entry.name)))
    // toc.html is a frame for browsers without JavaScript.
    .filter(name => name !== "toc.html" && name.includes(options.get("--pages") ?? ""))
    .sort();
}

// Opens a page in a context of its own, and reports what goes wrong on it from then on.
async function open(browser, name, { width, height }, more = {}) {
  const context = await browser.newContext({ viewport: { width, height }, ...more });
  // What a copy button writes can be asked for without the right to read the clipboard.
  await context.addInitScript(() => {
    Object.defineProperty(navigator, "clipboard", {
      value: { writeText: async text => { globalThis.copied = text; } },
    });
  });
  const page = await context.newPage();
  const where = `${name} (${width} px${more.javaScriptEnabled === false ? ", no JavaScript" : ""})`;
  const inside = pathToFileURL(book).href;
  page.on("console", message => {
    if (["error", "warning"].includes(message.type())) report(where, `console: ${message.text()}`);
  });
  page.on("pageerror", error => report(where, `uncaught: ${error.message}`));
  page.on("request", request => {
    const url = request.url();
    if (!url.startsWith(inside) && !/^(data|blob|about):/.test(url)) report(where, `request: ${url}`);
  });
  page.on("requestfailed", request => report(where, `failed: ${request.url()}`));
  await page.goto(pathToFileURL(join(book, name)).href, { waitUntil: "load" });
  return { page, where, context };
}

// The page stays where it is, and so does all that is in it, but code.
async function sideways(page, where) {
  const wide = await page.evaluate(() => {
    const root = document.documentElement;
    const name = e => `${e.tagName.toLowerCase()}.${e.className} "${e.textContent.trim().slice(0, 40)}"`;
    const all = Array.from(document.querySelectorAll("main *:not(pre, pre *)"));
    const scrolls = e => e.scrollWidth > e.clientWidth + 1
      && ["auto", "scroll"].includes(getComputedStyle(e).overflowX);
    const found = all.filter(scrolls).map(name);
    if (root.scrollWidth > root.clientWidth) {
      const over = all.filter(e => e.getBoundingClientRect().right > root.clientWidth + 1);
      const outermost = over.filter(e => !over.includes(e.parentElement)).map(name);
      found.push(`the page, for ${outermost[0] ?? "something outside its text"}`);
    }
    return found;
  });
  for (const name of wide) report(where, `scrolls sideways: ${name}`);
}

async function accessible(page, where) {
  const violations = await page.evaluate(async tags => {
    // Its preloading of style sheets is refused on pages from a file, and says so on the console.
    const { violations } = await globalThis.axe.run(
      { runOnly: tags, preload: false, resultTypes: ["violations"] },
    );
    return violations.map(({ id, nodes }) =>
      `axe ${id} (${nodes.length}): ${nodes.slice(0, 3).map(n => n.target.join(" ")).join(" | ")}`);
  }, TAGS);
  for (const violation of violations) report(where, violation);
}

function shorten(page) {
  return page.evaluate(({ lines, blocks }) => {
    for (const line of document.querySelectorAll(`main .l:nth-child(n + ${lines + 1})`)) line.remove();
    for (const block of document.querySelectorAll(`main > :nth-child(n + ${blocks + 1})`)) block.remove();
  }, { lines: LINES, blocks: BLOCKS });
}

// Presses Tab until what is looked for has the focus; what has it on the way must show it.
async function tabTo(page, where, selector) {
  for (let n = 0; n < TABS; n += 1) {
    await page.keyboard.press("Tab");
    const at = await page.evaluate(wanted => {
      const e = document.activeElement;
      const style = getComputedStyle(e);
      const shows = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
      return { there: e.matches(wanted), shows, name: `${e.tagName.toLowerCase()}.${e.className}` };
    }, selector);
    if (!at.shows && at.name !== "body.") report(where, `the focus on ${at.name} does not show`);
    if (at.there) return true;
  }
  report(where, `no key leads to ${selector}`);
  return false;
}

async function sidebar(page, where) {
  if (!await tabTo(page, where, "button.w-sidebar-toggle")) return;
  const shown = () => page.evaluate(() => ({
    said: document.querySelector("button.w-sidebar-toggle").getAttribute("aria-expanded"),
    seen: document.querySelector("#mdbook-sidebar").getBoundingClientRect().right > 0,
  }));
  const before = await shown();
  await page.keyboard.press("Enter");
  await page.waitForFunction(
    seen => document.querySelector("#mdbook-sidebar").getBoundingClientRect().right > 0 !== seen,
    before.seen, { timeout: 20_000 },
  ).catch(() => report(where, "the sidebar stays as it is"));
  const after = await shown();
  if (after.said === before.said) report(where, "aria-expanded of the sidebar's button stays");
  await page.keyboard.press("Enter");
  // It slides out; until then its links are there and said not to be.
  await page.locator("#mdbook-sidebar").waitFor({ state: "hidden", timeout: 20_000 })
    .catch(() => report(where, "the sidebar stays open"));
}

async function theme(page, where, name) {
  await page.locator("#mdbook-theme-toggle").focus();
  await page.keyboard.press("Enter");
  await page.locator(`#mdbook-theme-${name}`).focus();
  await page.keyboard.press("Enter");
  await page.keyboard.press("Escape");
  const classes = await page.evaluate(() => document.documentElement.className.split(" "));
  if (!classes.includes(name)) report(where, `the theme does not become ${name}`);
  await page.evaluate(() => document.activeElement?.blur());
}

async function folds(page, where) {
  const fold = page.locator("main details:not([open]) > summary").first();
  if (await fold.count() === 0) return;
  const height = () => fold.evaluate(s => s.parentElement.getBoundingClientRect().height);
  const element = await fold.elementHandle();
  const closed = await height();
  await element.focus();
  await page.keyboard.press("Enter");
  const opened = await element.evaluate(s => s.parentElement.getBoundingClientRect().height);
  if (opened <= closed) report(where, "a fold does not open by keyboard");
}

// A deleted line goes neither with a selection nor with the copy button.
async function copies(page, where) {
  const step = page.locator("figure.w-step:has(del)").first();
  if (await step.count() === 0) return;
  const selects = await step.evaluate(figure => getComputedStyle(figure.querySelector("del")).userSelect);
  if (selects !== "none") report(where, "deleted lines are selected along");
  await step.locator("button.w-copy").first().press("Enter");
  const wrong = await step.evaluate(figure => {
    const kept = Array.from(figure.querySelectorAll(".l:not(del)"), l => l.textContent).join("");
    return globalThis.copied !== kept;
  });
  if (wrong) report(where, "the copy button copies something else than what stayed and came");
}

// A recording is stepped through by keyboard: it says what it shows, and the page is not turned.
async function steps(page, where) {
  const figure = page.locator("figure.w-trace").first();
  if (await figure.count() === 0) return;
  const address = page.url();
  const shown = () => figure.locator(".w-lane li:not(.w-later)").count();
  const all = await shown();
  await figure.getByRole("button", { name: "Step through" }).press("Enter");
  for (const [key, count] of [["ArrowRight", 1], ["ArrowRight", 2], ["ArrowLeft", 1], ["End", all]]) {
    await page.keyboard.press(key);
    const said = await figure.getByRole("status").textContent();
    if (await shown() !== count || !said.startsWith(`${count} of ${all}.`)) {
      report(where, `after ${key} a recording shows ${await shown()} of ${all} events, and says "${said}"`);
    }
  }
  await figure.getByRole("button", { name: "Show all" }).press("Enter");
  if (await shown() !== all || page.url() !== address) report(where, "a recording does not come back whole");
}

async function look(browser, name, size) {
  const { page, where, context } = await open(browser, name, size);
  if (size.width < 1000) await sidebar(page, where);
  for (const colours of THEMES) {
    await theme(page, where, colours);
    await sideways(page, where);
    if (options.has("--shots")) await shoot(page, `${name.replaceAll("/", "-")}-${colours}-${size.width}`);
  }
  await folds(page, where);
  await copies(page, where);
  await steps(page, where);
  await page.evaluate(axe);
  await shorten(page);
  // What has been scrolled under the menu would be too small a target.
  await page.evaluate(() => scrollTo({ top: 0, behavior: "instant" }));
  for (const colours of THEMES) {
    await theme(page, where, colours);
    await accessible(page, `${where}, ${colours}`);
  }
  await context.close();
}

async function shoot(page, name) {
  mkdirSync(options.get("--shots"), { recursive: true });
  const high = await page.evaluate(() => document.documentElement.scrollHeight);
  await page.screenshot({ path: join(options.get("--shots"), `${name}.png`), fullPage: high < 30_000 });
}

async function withoutScript(browser, name) {
  const { page, where, context } = await open(browser, name, SIZES[1], {
    javaScriptEnabled: false, colorScheme: "dark",
  });
  await sideways(page, where);
  const hidden = await page.evaluate(() => {
    const seen = e => e.checkVisibility({ checkVisibilityCSS: true, checkOpacity: true });
    if (!seen(document.querySelector("main h1"))) return "its title";
    // A fold's content is a press away, also without a script.
    const lines = Array.from(document.querySelectorAll("main .l, main .w-lane li"))
      .filter(line => !line.closest("details:not([open])"));
    const line = lines.find(line => !seen(line) || line.getBoundingClientRect().height === 0);
    return line ? `the line "${line.textContent.trim()}"` : null;
  });
  if (hidden) report(where, `${hidden} cannot be seen`);
  await context.close();
}

async function search(browser) {
  const { page, where, context } = await open(browser, "index.html", SIZES[0]);
  for (const word of SEARCHES) {
    await page.keyboard.press("s");
    await page.locator("#mdbook-searchbar").fill("");
    await page.locator("#mdbook-searchbar").pressSequentially(word);
    const first = page.locator("#mdbook-searchresults li a").first();
    const target = await first.getAttribute("href", { timeout: 20_000 }).catch(() => null);
    if (target === null) report(where, `search finds nothing for \`${word}\``);
    await page.keyboard.press("Escape");
  }
  await context.close();
}

const names = pages();
if (names.length === 0) {
  console.error(`no page in ${book}: \`cargo run --release -- book\` builds the book`);
  process.exit(2);
}
const browser = await chromium.launch({
  executablePath: browserPath(),
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
// The largest first, so that none is left alone at the end.
const size = name => statSync(join(book, name)).size;
const queue = names.toSorted((a, b) => size(b) - size(a));
let done = 0;
async function work() {
  for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
    for (const size of SIZES) await look(browser, name, size);
    await withoutScript(browser, name);
    done += 1;
    console.error(`[${done}/${names.length}] ${name}`);
  }
}
// Two at a time: a page mostly waits for its own process.
await Promise.all([work(), work()]);
if (!options.has("--pages")) await search(browser);
await browser.close();
for (const [what, places] of found) {
  if (places.length > 1) console.error(`${places.length} times, last on ${places.at(-1)}: ${what}`);
}
console.error(found.size === 0 ? `${names.length} pages: nothing found` : `${found.size} findings`);
process.exit(found.size === 0 ? 0 : 1);
