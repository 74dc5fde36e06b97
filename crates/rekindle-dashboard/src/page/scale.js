// Scales, ticks and the text of numbers.

/** Round numbers that divide a range into about `count` parts. */
function linearTicks(low, high, count) {
  const rough = (high - low) / Math.max(count, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((step) => step >= rough);
  const ticks = [];
  for (let index = Math.ceil(low / step - 1e-9); index * step <= high + step * 1e-9; index++) {
    ticks.push(Number((index * step).toPrecision(12)));
  }
  return ticks;
}

/** Powers of ten, with their halves and fifths where there is room; evenly spaced values of a short range. */
function logTicks(low, high, count) {
  const decades = Math.log10(high / low);
  if (decades < 0.7) return linearTicks(low, high, count);
  const factors = decades > 3 ? [1] : [1, 2, 5];
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
    for (const factor of factors) {
      const tick = Number(`${factor}e${power}`);
      if (tick >= low && tick <= high) ticks.push(tick);
    }
  }
  return ticks;
}

/** A scale from a domain to pixels, with its ticks. */
function scale(low, high, from, to, count, isLog) {
  const place = isLog ? Math.log10 : Number;
  const [start, end] = [place(low), place(high)];
  const toPixels = (value) => from + ((place(value) - start) / (end - start || 1)) * (to - from);
  const fromPixels = (pixel) => start + ((pixel - from) / (to - from || 1)) * (end - start);
  return { toPixels, fromPixels, ticks: (isLog ? logTicks : linearTicks)(low, high, count) };
}

/** A range that holds all values with some air; of a single value, a range around it. */
function domain(values, { fromZero = false, isLog = false } = {}) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) return isLog ? [0.1, 1] : [0, 1];
  if (fromZero) low = Math.min(low, 0);
  if (isLog) {
    const air = low === high ? 2 : (high / low) ** 0.05;
    return [low / air, high * air];
  }
  const air = low === high ? Math.abs(low) * 0.1 || 1 : (high - low) * 0.06;
  return [fromZero && low === 0 ? 0 : low - (low >= 0 && air > low ? low : air), high + air];
}

function grouped(value) {
  return Math.round(value).toLocaleString("en-US");
}

function bytes(value) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (Math.abs(value) >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${Number(value.toPrecision(3))} ${units[unit]}`;
}

/** A value as the readout tells it. */
function valueText(value, unit) {
  if (value === null || value === undefined) return "–";
  if (unit === "bytes") return bytes(value);
  if (unit === "count") return grouped(value);
  const isExtreme = value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e5);
  return unit === "rate" || isExtreme ? value.toExponential(2).replace("e+", "e") : value.toFixed(4);
}

/** A value as short as an axis wants it. */
function tickText(value, unit) {
  if (unit === "bytes") return bytes(value);
  const size = Math.abs(value);
  if (size >= 1e6) return `${Number((value / 1e6).toPrecision(4))}M`;
  if (size >= 1e4) return `${Number((value / 1e3).toPrecision(4))}k`;
  if (value !== 0 && size < 1e-3) return String(Number(value.toPrecision(3)).toExponential()).replace("e+", "e");
  return String(Number(value.toPrecision(4)));
}
