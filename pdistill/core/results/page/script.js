"use strict";
const form = document.getElementById("filter");
if (form) {
  const field = form.querySelector("input");
  const count = form.querySelector("output");
  const cases = [...document.querySelectorAll(".cases > li")];
  const texts = cases.map((item) => item.textContent.toLowerCase());
  const apply = () => {
    const wanted = field.value.trim().toLowerCase();
    let shown = 0;
    cases.forEach((item, at) => {
      item.hidden = !texts[at].includes(wanted);
      shown += item.hidden ? 0 : 1;
    });
    count.textContent = wanted ? `${shown} of ${cases.length}` : "";
  };
  form.addEventListener("submit", (event) => event.preventDefault());
  field.addEventListener("input", apply);
  form.hidden = false;
  apply();
}
