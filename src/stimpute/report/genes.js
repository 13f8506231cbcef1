// Search and sort the table of all genes. Only the rows of one page are in the document.
const PAGE = 25;
const data = JSON.parse(document.getElementById("gene-data").textContent);
const names = data.names;
const lower = names.map((name) => name.toLowerCase());
const body = document.querySelector("#gene-table tbody");
const headers = [...document.querySelectorAll("#gene-table thead th")];
const search = document.getElementById("gene-search");
let column = null;
let descending = true;
let page = 0;
let rows = [];

// Columns are arrays, or objects where only some genes have a value. Numbers are stored as thousandths.
const valueOf = (values, row) => (values[row] === undefined ? null : values[row]);

function format(kind, value) {
  if (value === null) return "–";
  if (kind === "number") return (value / 1000).toFixed(3).replace("-", "−");
  if (kind === "flag") return value ? "yes" : "no";
  return String(value);
}

function select() {
  const terms = search.value.toLowerCase().split(/[\s,;]+/).filter(Boolean);
  rows = [];
  for (let row = 0; row < names.length; row++) {
    if (!terms.length || terms.some((term) => lower[row].includes(term))) rows.push(row);
  }
  if (column === -1) {
    rows.sort((a, b) => lower[a].localeCompare(lower[b]) * (descending ? -1 : 1));
  } else if (column !== null) {
    const values = data.columns[column].values;
    rows.sort((a, b) => {
      const left = valueOf(values, a);
      const right = valueOf(values, b);
      if (left === null || right === null) return (left === null) - (right === null);
      return (left - right) * (descending ? -1 : 1);
    });
  }
  page = 0;
  draw();
}

function cell(tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}

function draw() {
  const start = page * PAGE;
  const shown = rows.slice(start, start + PAGE);
  body.replaceChildren(
    ...shown.map((row) => {
      const line = document.createElement("tr");
      const name = cell("th", names[row]);
      name.scope = "row";
      const cells = data.columns.map(({ kind, values }) => cell("td", format(kind, valueOf(values, row))));
      line.replaceChildren(name, ...cells);
      return line;
    }),
  );
  const number = (value) => value.toLocaleString("en");
  const range = shown.length ? `${number(start + 1)} to ${number(start + shown.length)} of ` : "";
  document.getElementById("gene-count").textContent = `${range}${number(rows.length)} genes`;
  document.getElementById("gene-previous").disabled = page === 0;
  document.getElementById("gene-next").disabled = start + PAGE >= rows.length;
  headers.forEach((header, i) => {
    const order = descending ? "descending" : "ascending";
    header.setAttribute("aria-sort", i - 1 === column ? order : "none");
  });
}

headers.forEach((header, i) => {
  const button = cell("button", header.textContent);
  button.type = "button";
  button.addEventListener("click", () => {
    // Numbers start with the largest, names with A.
    descending = column === i - 1 ? !descending : i > 0;
    column = i - 1;
    select();
  });
  header.replaceChildren(button);
});
function turn(step) {
  page += step;
  draw();
}

document.getElementById("gene-previous").addEventListener("click", () => turn(-1));
document.getElementById("gene-next").addEventListener("click", () => turn(1));
search.addEventListener("input", select);
document.getElementById("gene-controls").hidden = false;
document.getElementById("gene-pages").hidden = false;
select();
