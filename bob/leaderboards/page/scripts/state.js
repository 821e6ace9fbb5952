// The state of the view, which the address holds, so that a link reproduces it. Only values that
// differ from the initial ones are written.

export const INITIAL = {
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
  input: "",
  licence: "",
  data: "",
  clean: "",
  cost: "params",
  size: "params",
  theme: "",
  pair: "",
  facet: "",
  shift: "",
  card: "",
  compare: "",
  measure: "",
  cell: "",
  alike: "",
  alikeon: "",
  want: "",
  wantparams: "",
  wantspeed: "",
  wantlicence: "",
};

export const state = { ...INITIAL };
const listeners = [];

function notify(names) {
  if (names.length) listeners.forEach((listener) => listener(new Set(names)));
}

export function readState() {
  const address = new URLSearchParams(window.location.hash.slice(1));
  for (const name of Object.keys(INITIAL)) state[name] = address.get(name) ?? INITIAL[name];
}

function hashOf(values) {
  const changed = Object.entries(values).filter(
    ([name, value]) => name in INITIAL && value !== INITIAL[name],
  );
  const text = new URLSearchParams(changed).toString();
  return text ? `#${text}` : "";
}

export const onChange = (listener) => listeners.push(listener);

// Change the state, write the address, and notify the listeners of the names that changed.
export function change(values) {
  const names = Object.keys(values).filter((name) => state[name] !== values[name]);
  Object.assign(state, values);
  const address = hashOf(state) || window.location.pathname + window.location.search;
  window.history.replaceState(null, "", address);
  notify(names);
}

export function followAddress() {
  window.addEventListener("hashchange", () => {
    const before = { ...state };
    readState();
    notify(Object.keys(INITIAL).filter((name) => state[name] !== before[name]));
  });
}
