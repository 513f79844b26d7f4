"use strict";

const make = (name, text, className) => {
  const element = document.createElement(name);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
};

const table = (title, rows) => {
  const fragment = document.createDocumentFragment();
  if (!rows.length) return fragment;
  fragment.append(make("strong", title));
  const element = fragment.appendChild(make("table"));
  for (const [name, kind, text] of rows) {
    const row = element.insertRow();
    row.insertCell().textContent = name;
    const cell = row.insertCell();
    cell.textContent = kind;
    cell.className = "kind";
    row.insertCell().textContent = text || "";
  }
  return fragment;
};

const route = (path, method, operation) => {
  const details = make("details");
  const summary = details.appendChild(make("summary"));
  summary.append(make("span", method.toUpperCase(), "method"), make("code", path), make("span", operation.summary, "text"));
  details.dataset.search = `${method} ${path} ${operation.summary} ${operation.description || ""}`.toLowerCase();
  const body = details.appendChild(make("div", undefined, "body"));
  if (operation.description) body.append(make("p", operation.description));
  body.append(table("Parameters", (operation.parameters || []).map(
    (one) => [one.name, `${one.in}, ${one.schema.type}`, one.description])));
  for (const [type, content] of Object.entries(operation.requestBody?.content || {})) {
    const fields = Object.entries(content.schema?.properties || {});
    body.append(make("p", `Body: ${type}`), table("Fields", fields.map(([name, one]) => [name, one.type, one.description])));
  }
  body.append(make("p", `Answer: ${Object.keys(operation.responses["200"].content).join(", ")}`));
  return details;
};

const show = (api) => {
  document.title = `${api.info.title} REST API`;
  document.getElementById("about").textContent = `${api.info.title} ${api.info.version}. ${api.info.description}`;
  const main = document.getElementById("routes");
  const groups = new Map(api.tags.map((tag) => [tag.name, make("section")]));
  for (const [name, section] of groups) section.append(make("h2", name));
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) groups.get(operation.tags[0]).append(route(path, method, operation));
  }
  main.replaceChildren(...groups.values());
  document.getElementById("search").addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/);
    for (const section of groups.values()) {
      let visible = 0;
      for (const details of section.querySelectorAll("details")) {
        details.hidden = !words.every((word) => details.dataset.search.includes(word));
        visible += !details.hidden;
      }
      section.hidden = !visible;
    }
  });
};

fetch("openapi.json").then((answer) => answer.json()).then(show, (error) => {
  document.getElementById("routes").textContent = `The description could not be loaded: ${error.message}`;
});
