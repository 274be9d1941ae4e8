// Moves through a life: what comes later is pale, and a line stands in the picture.
(() => {
  const rows = [...document.querySelectorAll("tr[data-x]")];
  const slider = document.getElementById("moment");
  const plot = document.getElementById("plot-life");
  if (rows.length === 0) return;

  const show = (id, text) => { document.getElementById(id).textContent = text; };
  const move = () => {
    const now = Number(slider.value);
    rows.forEach((row, at) => { row.classList.toggle("later", at > now); });
    const { x, time, usd, there } = rows[now].dataset;
    show("moment-time", time);
    show("moment-usd", `${usd} on the meter.`);
    show("moment-there", `There: ${there}.`);
    show("moment-words", `${rows[now].cells[1].textContent}: ${rows[now].cells[2].textContent}`);
    if (!plot.classList.contains("js-plotly-plot")) return;
    const color = getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();
    const line = { type: "line", x0: Number(x), x1: Number(x), y0: 0, y1: 1, yref: "paper", line: { color, width: 1.5 } };
    const fixed = (plot.layout.shapes ?? []).filter((shape) => shape.type !== "line");
    Plotly.relayout(plot, { shapes: [...fixed, line] });
  };
  slider.addEventListener("input", move);
  move();
})();
