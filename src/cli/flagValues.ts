import { type Command, InvalidArgumentError } from "commander";
import type { Terminal } from "./terminal/terminal.ts";

/** Adds a command; what it does is imported when it runs, so that `--help` is instant. */
export type AddCommand = (program: Command, terminal: Terminal) => void;

export function collect(value: string, previous: readonly string[] = []): string[] {
  return [...previous, value];
}

function parseInteger(text: string, least: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < least)
    throw new InvalidArgumentError(`It must be a whole number of at least ${least}.`);
  return value;
}

/** From 0 to 1. */
export function parseShare(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= 0 && value <= 1))
    throw new InvalidArgumentError("It must be a number from 0 to 1.");
  return value;
}

export function parseProbability(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value < 1))
    throw new InvalidArgumentError("It must be a number between 0 and 1, such as 0.95.");
  return value;
}

export const parseCount = (text: string): number => parseInteger(text, 1);
export const parseSeed = (text: string): number => parseInteger(text, 0);

/** Seconds, with decimals if need be. */
export function parseSeconds(text: string): number {
  const value = Number(text);
  if (!/^\d+(\.\d+)?$/.test(text) || !Number.isFinite(value))
    throw new InvalidArgumentError("It must be a number of seconds, e.g. 30.");
  return value;
}

const units: Readonly<Record<string, number>> = {
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

/** A size with its unit. @returns bytes */
export function parseSize(text: string): number {
  const [, number = "", unit = ""] = /^(\d+(?:\.\d+)?) ?([kmgt]i?b)$/i.exec(text.trim()) ?? [];
  const bytes = Number(number) * (units[unit.toLowerCase()] ?? 0);
  if (!(bytes >= 1)) throw new InvalidArgumentError("It must be a size, e.g. 500MB or 2GiB.");
  return bytes;
}
