// The file beside a large page, with what its first view does not need. It is a script, since a page
// opened from the disk may read no other file, and it is loaded when a view first needs it.

import { DATA, hasDetails, takeDetails } from "./data.js";
import { make, on } from "./dom.js";

let loading = null;

// Do what needs the details: at once, or when they are loaded. `fail` receives why they cannot be.
export function withDetails(work, fail) {
  if (hasDetails()) {
    work();
    return;
  }
  loading ??= load(DATA.beside);
  loading.then(work, (error) => {
    loading = null; // the next view tries again
    fail(error.message);
  });
}

async function load({ file, stamp }) {
  await loadScript(file);
  const loaded = window.leaderboardDetail;
  if (loaded?.stamp !== stamp) {
    throw new Error(
      `${file} beside this page is that of another leaderboard. Copy the one that was written ` +
        "with this page, or run bob\u2011bench leaderboard again.",
    );
  }
  takeDetails(loaded.text);
  delete window.leaderboardDetail;
}

function loadScript(file) {
  const missing =
    `${file} is missing: this page needs it in its own folder for every view but the overview of ` +
    "everything. Copy it there; leaderboard.csv holds the same scores.";
  return new Promise((resolve, reject) => {
    const script = make("script", { src: file });
    on(script, { load: resolve, error: () => reject(new Error(missing)) });
    document.head.append(script);
  });
}
