/**
 * The page's colours: two themes, and a ramp of accuracies in each, even in OKLab (Ottosson 2020) so that equal steps
 * of accuracy look like equal steps. Every step carries the ink that reads better on it.
 */

export type Hex = `#${string}`;

export interface RampStep {
  readonly fill: Hex;
  readonly ink: Hex;
}

/** Steps of the ramp: one for each five points of accuracy, 0 and 100 % included. */
export const rampSteps = 21;

/** The step that an accuracy in [0, 1] falls on. */
export function rampIndex(fraction: number): number {
  return Math.min(rampSteps - 1, Math.max(0, Math.round(fraction * (rampSteps - 1))));
}

/** From near the page's own colour (0 %) to the strongest (100 %). */
export const ramps = {
  light: buildRamp(["#f4f2ea", "#cfe2d6", "#7dbcae", "#0a5660"], ["#040a0a", "#ffffff"]),
  dark: buildRamp(["#1d2627", "#20474b", "#2c7f79", "#bff0da"], ["#041010", "#ffffff"]),
} as const;

function buildRamp(stops: readonly Hex[], inks: readonly [Hex, Hex]): readonly RampStep[] {
  return Array.from({ length: rampSteps }, (_, index) => {
    const at = (index / (rampSteps - 1)) * (stops.length - 1);
    const low = Math.min(stops.length - 2, Math.floor(at));
    const fill = mixColours(stops[low]!, stops[low + 1]!, at - low);
    const ink = contrastRatio(inks[0], fill) >= contrastRatio(inks[1], fill) ? inks[0] : inks[1];
    return { fill, ink };
  });
}

export type Triple = readonly [number, number, number];

/** sRGB's transfer function, [0, 255] to [0, 1]. */
function toLinear(channel: number): number {
  const value = channel / 255;
  return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
}

/** Linear sRGB, each channel in [0, 1]. */
export function linearOf(hex: Hex): Triple {
  const value = Number.parseInt(hex.slice(1), 16);
  return [toLinear((value >> 16) & 255), toLinear((value >> 8) & 255), toLinear(value & 255)];
}

/** OKLab, in which distances look alike, of linear sRGB. */
export function oklabOf([r, g, b]: Triple): Triple {
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

function fromOklab([lightness, a, b]: Triple): Hex {
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const channels = [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ].map((linear) => {
    const value = linear <= 0.0031308 ? linear * 12.92 : 1.055 * linear ** (1 / 2.4) - 0.055;
    return Math.round(Math.min(1, Math.max(0, value)) * 255);
  });
  return `#${channels.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
}

function mixColours(from: Hex, to: Hex, share: number): Hex {
  const [start, end] = [oklabOf(linearOf(from)), oklabOf(linearOf(to))];
  const at = (index: 0 | 1 | 2) => start[index] + (end[index] - start[index]) * share;
  return fromOklab([at(0), at(1), at(2)]);
}

function luminance(hex: Hex): number {
  const [red, green, blue] = linearOf(hex);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** WCAG 2's contrast ratio, 1 to 21; 4.5 is what small text needs. */
export function contrastRatio(one: Hex, other: Hex): number {
  const a = luminance(one);
  const b = luminance(other);
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}

export interface Theme {
  readonly page: Hex;
  readonly panel: Hex;
  readonly ink: Hex;
  readonly muted: Hex;
  readonly line: Hex;
  readonly cil: Hex;
  readonly til: Hex;
  /** The curve of routed prediction; the three can be told apart by who sees no red, no green or no blue. */
  readonly routed: Hex;
  readonly warn: Hex;
  readonly warnPanel: Hex;
}

export const themes: { readonly light: Theme; readonly dark: Theme } = {
  light: {
    page: "#faf9f6",
    panel: "#ffffff",
    ink: "#16211f",
    muted: "#5b6764",
    line: "#e2e0d8",
    cil: "#0b6b70",
    til: "#a9560f",
    routed: "#4b1fa0",
    warn: "#8a4a00",
    warnPanel: "#fdf3e0",
  },
  dark: {
    page: "#101616",
    panel: "#161e1e",
    ink: "#e6ecea",
    muted: "#97a5a1",
    line: "#2a3534",
    cil: "#63c9bb",
    til: "#f0a860",
    routed: "#9d7bf2",
    warn: "#f2bd6b",
    warnPanel: "#2b2314",
  },
};
