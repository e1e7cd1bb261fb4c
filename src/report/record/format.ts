import type { RunHeader } from "../../core/record.ts";

/** How figures are written for people; files hold fractions, seconds and bytes. No locale, so that pages agree. */

export const missing = "–";

/** `0.9731` → `97.3`; callers say somewhere that it is percent. */
export function formatPercent(fraction: number | null | undefined): string {
  if (fraction === null || fraction === undefined) return missing;
  const text = (fraction * 100).toFixed(1);
  return text === "-0.0" ? "0.0" : text;
}

/** A difference of accuracies in percentage points, with its sign: `+1.2`, `−3.4`, `0.0`. */
export function formatPoints(difference: number | null | undefined): string {
  if (difference === null || difference === undefined) return missing;
  const text = formatPercent(Math.abs(difference));
  if (text === "0.0") return text;
  return difference < 0 ? `−${text}` : `+${text}`;
}

/** `0.42` → `420 ms`, `12.34` → `12.3 s`, `754` → `12 min 34 s`, `7384` → `2 h 03 min`. */
export function formatSeconds(seconds: number | undefined): string {
  if (seconds === undefined) return missing;
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 99.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${pad2(whole % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${pad2(minutes % 60)} min`;
}

function pad2(value: number): string {
  return String(value).padStart(2, "0");
}

/** Decimal units: `412300000` → `412 MB`. */
export function formatBytes(bytes: number | undefined): string {
  if (bytes === undefined) return missing;
  const units = ["B", "kB", "MB", "GB", "TB"] as const;
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${value < 9.995 && unit > 0 ? value.toFixed(2) : value.toFixed(0)} ${units[unit]}`;
}

/** Thin spaces between thousands: `22713216` → `22 713 216`. */
export function formatCount(count: number | undefined): string {
  if (count === undefined) return missing;
  return String(count).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
}

/** `1 task`, `3 tasks`. */
export function plural(count: number, noun: string, shown = String(count)): string {
  return `${shown} ${noun}${count === 1 ? "" : "s"}`;
}

/** `2026-03-02T09:14:07.123Z` → `2026-03-02 09:14 UTC`. */
export function formatTime(iso: string): string {
  return `${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC`;
}

/** A run's settings as text; the record has one entry a setting, `method.rank` → 4. */
export function settingsOf({ config }: RunHeader): readonly (readonly [name: string, value: string])[] {
  return Object.entries(config).map(([name, value]) => [
    name,
    typeof value === "string" ? value : JSON.stringify(value),
  ]);
}

/** Characters that steer a terminal or that no document may hold (controls, lone surrogates), shown as the replacement character. */
export function withoutControls(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is to be replaced.
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]|\p{Surrogate}/gu, "\ufffd");
}

/** At most `width` characters, the last an ellipsis where something was left out. */
export function shorten(text: string, width: number): string {
  const characters = [...text];
  return characters.length <= width ? text : `${characters.slice(0, width - 1).join("")}…`;
}
