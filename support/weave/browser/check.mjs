// Looks at every page of the built book in a real browser, from a file, without the network.
//
//   node check.mjs [--pages TEXT] [--shots FOLDER]
//
// Every page, in light and dark, at 1280 and 390 pixels: no message on the console, no request that
// fails or goes to another host, no finding of axe (WCAG 2.2 A and AA, and best practices), nothing
// that scrolls sideways but code and tables themselves. Then, once: search finds, folds open, the theme
// switches, the sidebar's button works by keyboard, deleted lines are not copied.

import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { AxeBuilder } from "@axe-core/playwright";
import { chromium } from "playwright-core";

const here = dirname(fileURLToPath(import.meta.url));
const book = resolve(here, "../../../book/book");
const options = new Map();
for (let n = 2; n < process.argv.length; n += 2) options.set(process.argv[n], process.argv[n + 1]);

const THEMES = ["light", "navy"];
const WIDTHS = [1280, 390];
// axe takes minutes on the pages that show whole crates, and says nothing new: one listing is as another. On these pages everything else is checked.
const BIG = 6_000;

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

function pages(folder) {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter(entry => entry.isFile() && entry.name.endsWith(".html"))
    .map(entry => relative(folder, join(entry.parentPath, entry.name)))
    // toc.html is a frame for browsers without JavaScript; redirects have no content.
    .filter(name => name !== "toc.html" && name.includes(options.get("--pages") ?? ""))
    .sort();
}

const found = [];
const report = (where, what) => {
  found.push(`${where}: ${what}`);
  console.error(`  ${where}: ${what}`);
};

const browser = await chromium.launch({
  executablePath: browserPath(),
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

async function open(name, theme, width) {
  const context = await browser.newContext({ viewport: { width, height: 900 } });
  await context.addInitScript(theme => {
    localStorage.setItem("mdbook-theme", theme);
  }, theme);
  const page = await context.newPage();
  const where = `${name} (${theme}, ${width} px)`;
  page.on("console", message => {
    if (["error", "warning"].includes(message.type())) report(where, `console: ${message.text()}`);
  });
  page.on("pageerror", error => report(where, `uncaught: ${error.message}`));
  page.on("request", request => {
    if (!/^(file|data|blob|about):/.test(request.url())) report(where, `request: ${request.url()}`);
  });
  page.on("requestfailed", request => report(where, `failed: ${request.url()}`));
  await page.goto(pathToFileURL(join(book, name)).href, { waitUntil: "load" });
  return { page, where, context };
}

async function look(name, theme, width) {
  const { page, where, context } = await open(name, theme, width);
  const size = await page.evaluate(() => ({
    elements: document.querySelectorAll("*").length,
    sideways: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    theme: document.documentElement.className,
  }));
  if (!size.theme.split(" ").includes(theme)) report(where, `shows ${size.theme}`);
  if (size.sideways > 0) {
    const widest = await page.evaluate(() => {
      const over = Array.from(document.querySelectorAll("main *"))
        .filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1);
      const last = over.find(e => !over.includes(e.parentElement)) ?? over[0];
      return last ? `${last.tagName.toLowerCase()}.${last.className} "${last.textContent.slice(0, 60)}"` : "";
    });
    report(where, `scrolls sideways by ${size.sideways} px: ${widest}`);
  }
  if (options.has("--shots")) {
    mkdirSync(options.get("--shots"), { recursive: true });
    const file = `${name.replaceAll("/", "-")}-${theme}-${width}.png`;
    await page.screenshot({ path: join(options.get("--shots"), file), fullPage: size.elements < BIG });
  }
  if (size.elements < BIG) {
    // axe's own loading writes to the console of a page from a file.
    page.removeAllListeners("console");
    page.removeAllListeners("requestfailed");
    const result = await new AxeBuilder({ page })
      .withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"])
      .analyze();
    for (const violation of result.violations) {
      const at = violation.nodes.slice(0, 3).map(node => node.target.join(" ")).join(" | ");
      report(where, `axe ${violation.id} (${violation.nodes.length}): ${at}`);
    }
  }
  await context.close();
}

async function use() {
  const { page, where, context } = await open("index.html", "light", 1280);
  await page.keyboard.press("s");
  await page.locator("#mdbook-searchbar").pressSequentially("readiness");
  await page.locator("#mdbook-searchresults li").first().waitFor({ timeout: 20_000 })
    .catch(() => report(where, "search finds nothing for `readiness`"));
  await page.keyboard.press("Escape");

  await page.locator("#mdbook-theme-toggle").click();
  await page.locator("#mdbook-theme-navy").click();
  if (!await page.evaluate(() => document.documentElement.classList.contains("navy"))) {
    report(where, "the theme does not switch");
  }

  const button = page.locator("button.w-sidebar-toggle");
  const before = await button.getAttribute("aria-expanded");
  await button.focus();
  await page.keyboard.press("Enter");
  if (await button.getAttribute("aria-expanded") === before) report(where, "the sidebar stays");
  await context.close();
}

async function folds(names) {
  for (const name of names) {
    const { page, where, context } = await open(name, "light", 1280);
    const fold = await page.$("main details:not([open]) > summary");
    if (fold) {
      const height = () => fold.evaluate(s => s.parentElement.getBoundingClientRect().height);
      const closed = await height();
      await fold.click();
      if (await height() <= closed) report(where, "a fold does not open");
    }
    const step = page.locator("figure.w-step:has(del)").first();
    if (await step.count() > 0) {
      const copied = await step.evaluate(figure => {
        const range = document.createRange();
        range.selectNodeContents(figure);
        getSelection().removeAllRanges();
        getSelection().addRange(range);
        return getComputedStyle(figure.querySelector("del")).userSelect;
      });
      if (copied !== "none") report(where, "deleted lines are copied along");
    }
    await context.close();
  }
}

const names = pages(book);
if (names.length === 0) {
  console.error(`no page in ${book}: build the book first`);
  process.exit(2);
}
let done = 0;
const all = names.length * THEMES.length * WIDTHS.length;
for (const name of names) {
  for (const theme of THEMES) {
    for (const width of WIDTHS) await look(name, theme, width);
  }
  done += THEMES.length * WIDTHS.length;
  console.error(`[${done}/${all}] ${name}`);
}
if (!options.has("--pages")) await use();
await folds(names.filter(name => !name.startsWith("code/") && name !== "print.html"));
await browser.close();
console.error(found.length === 0 ? `${all} looks at ${names.length} pages: nothing found` : `${found.length} findings`);
process.exit(found.length === 0 ? 0 : 1);
