// Columns of numbers, and the one that is chosen to colour and to sort by.
import { isBad, numbersOf, page, shown, status } from "./data.js";
import { fixed } from "./text.js";

const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

class Numbers {
  constructor(described) {
    Object.assign(this, described);
    this.label = this.words.toLowerCase();
    this.isValue = this.name === page.value;
    /** What the number of an image is called. */
    this.noun = this.isValue ? page.noun : this.label;
    /** Of what is typed in. */
    this.step = 10 ** -this.digits;
  }

  /** Of all rows; NaN where there is none, or it means nothing. */
  get values() {
    if (!this.read) {
      const [other, least] = this.needs || [];
      const needed = other && numbersOf(other);
      this.read = numbersOf(this.name).map((number, row) => ((this.judged && !status[row].judged) || (needed && !(needed[row] >= least)) ? NaN : number));
    }
    return this.read;
  }

  /** The lowest and the highest number, by the scale or else of the images. */
  get range() {
    if (this.ends) return this.ends;
    const known = shown.map((row) => this.values[row]).filter((number) => !Number.isNaN(number));
    const extreme = (better) => (known.length ? known.reduce((one, other) => better(one, other)) : 0);
    const [low, high] = [this.scale.low ?? extreme(Math.min), this.scale.high ?? extreme(Math.max)];
    this.ends = [low, high > low ? high : low + 1];
    return this.ends;
  }

  /** The range in whole steps. */
  get bounds() {
    const [low, high] = this.range;
    return [Number((Math.floor(low / this.step) * this.step).toFixed(this.digits)), Number((Math.ceil(high / this.step) * this.step).toFixed(this.digits))];
  }

  /** A number where its place on the scale is that share of the way. */
  at(share) {
    return this.range[0] + share * (this.range[1] - this.range[0]);
  }

  colour(number) {
    const [low, high] = this.range;
    const share = Math.min(Math.max((number - low) / (high - low), 0), 1);
    return this.scale.colours[Math.round(share * (this.scale.colours.length - 1))];
  }

  /** As it is said of an image; tables have six digits. */
  text(number, digits = this.digits) {
    return fixed(number, Math.max(0, Math.min(digits, 5 - Math.floor(Math.log10(Math.abs(number) || 1)))));
  }

  /** With two decimals at least, where numbers are compared. */
  fine(number) {
    return this.text(number, this.digits && Math.max(this.digits, 2));
  }

  /** Where there is little room. */
  brief(number) {
    return Math.abs(number) >= 10000 ? compact.format(number) : this.text(number);
  }

  /** The nearest whole numbers, or so many ranges: `n` bins. */
  bins(ranges) {
    const { bins, colours } = this.scale;
    if (bins) return { n: bins, of: (row) => Math.min(Math.max(Math.floor(this.values[row] + 0.5), 0), bins - 1), called: (k) => `${this.noun} ${k}`, colour: (k) => colours[k] };
    const share = (row) => (this.values[row] - this.at(0)) / (this.at(1) - this.at(0));
    return {
      n: ranges,
      of: (row) => Math.min(ranges - 1, Math.floor(ranges * share(row))),
      called: (k) => `${this.brief(this.at(k / ranges))} to ${this.brief(this.at((k + 1) / ranges))}`,
      colour: (k) => this.colour(this.at((k + 0.5) / ranges)),
    };
  }

  /** The higher, the worse; as it comes where neither is. */
  badness(row) {
    return this.good === "high" ? -this.values[row] : this.values[row];
  }
}

export const choices = page.described.filter((one) => one.is_number).map((one) => new Numbers(one));
const byName = (name) => choices.find((one) => one.name === name);
export const value = byName(page.value);
export const trust = page.trust ? byName(page.trust) : null;
let choice = value;
const listeners = [];
export const chosen = () => choice;
export const numberOf = (row) => choice.values[row];
export const isKnown = (row) => !Number.isNaN(choice.values[row]);
/** Do something with what is chosen, now and whenever it is another. */
export function onChoice(listener) {
  listeners.push(listener);
  listener();
}
export function choose(name) {
  choice = byName(name);
  for (const listener of listeners) listener();
}

export const mean = (numbers) => numbers.reduce((sum, one) => sum + one, 0) / numbers.length;
/** What a place has, of its images that have a number: their mean, an extreme, or a share. */
export function summary(kind, rows) {
  const known = rows.filter(isKnown);
  if (!known.length) return NaN;
  if (kind === "share") return rows.filter(isBad).length / known.length;
  if (kind === "trust") return mean(known.map((row) => trust.values[row]));
  if (kind === "mean") return mean(known.map(numberOf));
  return known.map(numberOf).reduce((one, other) => (kind === "high" ? Math.max(one, other) : Math.min(one, other)));
}

