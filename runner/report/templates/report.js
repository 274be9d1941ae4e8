"use strict";
// Draws the charts. plotly.js lies in the page, compressed; the colours come from the page's style sheet.
(() => {
  const plots = [...document.querySelectorAll("script.spec")].map((script) => ({
    element: document.getElementById(script.dataset.for),
    spec: JSON.parse(script.textContent),
  }));
  if (plots.length === 0) return;

  const unpack = async (id) => {
    const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  };

  const coloured = (value, style) => {
    if (typeof value === "string") {
      const name = /^var\((--[\w-]+)\)$/.exec(value);
      return name ? style.getPropertyValue(name[1]).trim() : value;
    }
    if (Array.isArray(value)) return value.map((item) => coloured(item, style));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, coloured(item, style)]));
  };

  // A finger scrolls the page rather than zoom a chart.
  const coarse = matchMedia("(pointer: coarse)").matches || innerWidth < 600;
  const draw = () => {
    const style = getComputedStyle(document.documentElement);
    for (const { element, spec } of plots) {
      const { data, layout } = coloured(spec, style);
      layout.dragmode = coarse ? false : "zoom";
      Plotly.react(element, data, layout, { displayModeBar: false, responsive: true });
    }
  };
  const resize = () => plots.forEach(({ element }) => Plotly.Plots.resize(element));

  const start = async () => {
    const script = document.createElement("script");
    script.textContent = await unpack("plotly-packed");
    document.head.append(script);
    draw();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    matchMedia("print").addEventListener("change", () => { draw(); resize(); });
    document.documentElement.dataset.drawn = "yes";
  };
  start().catch((error) => {
    document.querySelectorAll(".noplots").forEach((note) => { note.hidden = false; });
    document.querySelectorAll(".plot").forEach((plot) => { plot.hidden = true; });
    console.error(error);
  });
})();
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((details) => { details.open = true; }));
