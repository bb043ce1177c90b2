(() => {
  "use strict";
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const color = (i) => css("--c" + (i % 6));
  const three = (v) => v >= 99.95 ? v.toFixed(0) : v >= 9.995 ? v.toFixed(1) : v.toFixed(2);
  const latency = (us) => us == null ? "–" : us < 999.5 ? three(us) + " µs" : us < 999500 ? three(us / 1e3) + " ms" : three(us / 1e6) + " s";
  const tick = (us) => us == null ? "" : us < 1e3 ? us + " µs" : us < 1e6 ? us / 1e3 + " ms" : us / 1e6 + " s";
  const rate = (v) => v == null ? "–" : Math.round(v).toLocaleString("en-US");
  const percentile = (x) => x == null ? "–" : +(100 * (1 - Math.pow(10, -x))).toFixed(Math.max(0, Math.ceil(x) - 1) + (x % 1 ? 2 : 0)) + " %";

  const axis = (more) => Object.assign({
    stroke: css("--soft"), font: "12px system-ui, sans-serif",
    grid: { stroke: css("--grid"), width: 1 }, ticks: { stroke: css("--line"), width: 1, size: 5 },
  }, more);

  // On the logarithmic axis only 1, 2 and 5 of a decade keep their label, and only the 1 when there are many decades.
  const logLabels = (u, splits) => {
    const decades = Math.log10(u.scales.y.max / u.scales.y.min);
    return splits.map((v) => {
      const digit = Math.round(v / Math.pow(10, Math.floor(Math.log10(v) + 1e-9)));
      return digit === 1 || (decades < 3.5 && (digit === 2 || digit === 5)) ? tick(+v.toPrecision(3)) : "";
    });
  };

  // Limits of the logarithmic axis: the next 1, 2 or 5 below and above, so that flat lines do not fill a decade of air.
  const logRange = (u, lo, hi) => {
    if (lo == null || hi == null || !(hi > 0)) return [1, 10];
    const steps = [1, 2, 5, 10];
    const near = (v, up) => {
      const d = Math.pow(10, Math.floor(Math.log10(v) + 1e-9));
      const fit = up ? steps.find((s) => s * d >= v * 0.9999) : steps.slice().reverse().find((s) => s * d <= v * 1.0001);
      return +((fit || (up ? 10 : 1)) * d).toPrecision(3);
    };
    lo = near(Math.max(lo, 0.1), false);
    hi = near(hi, true);
    return [lo, hi > lo ? hi : lo * 2];
  };

  // Where uPlot would only put decades: 1 to 9 of each.
  const logSplits = (u, i, lo, hi) => {
    const out = [];
    for (let d = Math.pow(10, Math.floor(Math.log10(lo) + 1e-9)); d <= hi * 1.0001; d *= 10)
      for (let k = 1; k < 10; k++) if (k * d >= lo * 0.9999 && k * d <= hi * 1.0001) out.push(+(k * d).toPrecision(3));
    return out;
  };

  const plots = [];
  const draw = (parent, title, build) => {
    const card = document.createElement("div");
    card.className = "card";
    const head = document.createElement("h3");
    head.textContent = title;
    card.append(head);
    document.getElementById(parent).append(card);
    const width = () => Math.max(200, card.clientWidth - 32);
    const [options, data] = build();
    const plot = new uPlot(Object.assign({ width: width(), height: 280, cursor: { drag: { x: true, y: false } } }, options), data, card);
    const resize = new ResizeObserver(() => {
      if (Math.abs(plot.width - width()) > 1) plot.setSize({ width: width(), height: 280 });
    });
    resize.observe(card);
    plots.push(() => { resize.disconnect(); plot.destroy(); card.remove(); });
  };

  const percentiles = (plot) => draw("percentiles", plot.title, () => {
    const shown = plot.lines.map((line, i) => [line, i]).filter(([line]) => line);
    const ticks = [0, Math.log10(2), 1, 2, 3, 4, 5, 6, 7].filter((x) => x <= charts.nines[charts.nines.length - 1] + 0.3);
    return [{
      padding: [null, 26, null, null],
      scales: { x: { time: false }, y: { distr: 3, range: logRange } },
      axes: [
        axis({ splits: (u) => u.width < 500 ? ticks.filter((x) => x === 0 || x >= 1) : ticks, values: (u, v) => v.map((x) => x === 0 ? "0 %" : percentile(+x.toFixed(5))) }),
        axis({ size: 68, splits: logSplits, filter: (u, v) => v, values: logLabels }),
      ],
      series: [{ label: "percentile", value: (u, x) => percentile(x) }].concat(shown.map(([, i]) => ({
        label: charts.names[i], stroke: color(i), width: 2, points: { show: false }, value: (u, v) => latency(v),
      }))),
    }, [charts.nines].concat(shown.map(([line]) => line))];
  });

  const overTime = (title, log, lines) => {
    if (!lines.some((l) => l.y && l.y.some((v) => v != null))) return;
    draw("time", title, () => [{
      padding: [null, 18, null, null],
      scales: { x: { time: false }, y: log ? { distr: 3, range: logRange } : { range: (u, lo, hi) => [0, (hi || 1) * 1.1] } },
      axes: [
        axis({ values: (u, v) => v.map((x) => x + " s") }),
        log ? axis({ size: 68, splits: logSplits, filter: (u, v) => v, values: logLabels }) : axis({ size: 68, values: (u, v) => v.map(rate) }),
      ],
      series: [{ label: "time", value: (u, x) => x == null ? "–" : x.toFixed(1) + " s" }].concat(lines.map((l) => ({
        label: l.name, stroke: color(l.color), dash: l.dash, width: l.dash ? 1.25 : 2, spanGaps: true,
        points: { show: l.t.length < 3 }, value: (u, v) => log ? latency(v) : rate(v),
      }))),
    }, uPlot.join(lines.map((l) => [l.t, l.y]))]);
  };

  const all = () => {
    plots.splice(0).forEach((remove) => remove());
    charts.percentiles.forEach(percentiles);
    const each = (f) => charts.time.flatMap((s, i) => s.t.length ? f(s, charts.names[i], i) : []);
    overTime("records per second", false, each((s, name, i) => [{ name: name, t: s.t, y: s.completed, color: i }]));
    overTime("latency, p99 (line) and p50 (dashed)", true, each((s, name, i) => [
      { name: name + " p99", t: s.t, y: s.p99, color: i }, { name: name + " p50", t: s.t, y: s.p50, color: i, dash: [4, 4] },
    ]));
    overTime("end to end, p99", true, each((s, name, i) => [{ name: name, t: s.t, y: s.e2e_p99, color: i }]));
  };
  all();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
})();
