// What is shown, as one object that the address holds, so that a link reproduces a view. Only what differs from the first view is written.

export const FIRST = {
  view: "overview",
  task: "",
  dataset: "",
  show: "value",
  sort: "",
  dir: "",
  q: "",
  families: "",
  params: "",
  speed: "",
  licence: "",
  data: "",
  clean: "",
  cost: "params",
  theme: "",
  pair: "",
  facet: "",
  shift: "",
  highlight: "",
  card: "",
  want: "",
  wantparams: "",
  wantspeed: "",
  wantlicence: "",
};

export const state = { ...FIRST };
const listeners = [];

export function readState() {
  const read = new URLSearchParams(window.location.hash.slice(1));
  for (const name of Object.keys(FIRST)) state[name] = read.get(name) ?? FIRST[name];
}

function hashOf(values) {
  const written = new URLSearchParams(Object.entries(values).filter(([name, value]) => name in FIRST && value !== FIRST[name]));
  const text = written.toString();
  return text ? `#${text}` : "";
}

export const onChange = (listener) => listeners.push(listener);

// Changes the state, writes the address, and tells the listeners which names changed.
export function change(values) {
  const names = Object.keys(values).filter((name) => state[name] !== values[name]);
  Object.assign(state, values);
  window.history.replaceState(null, "", hashOf(state) || window.location.pathname + window.location.search);
  if (names.length) listeners.forEach((listener) => listener(new Set(names)));
}

export function followAddress() {
  window.addEventListener("hashchange", () => {
    const before = { ...state };
    readState();
    const names = Object.keys(FIRST).filter((name) => state[name] !== before[name]);
    if (names.length) listeners.forEach((listener) => listener(new Set(names)));
  });
}
