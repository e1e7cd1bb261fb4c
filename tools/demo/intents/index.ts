import type { TaskSpecification } from "../specification.ts";
import { health } from "./health.ts";
import { home } from "./home.ts";
import { kitchen } from "./kitchen.ts";
import { money } from "./money.ts";
import { music } from "./music.ts";
import { travel } from "./travel.ts";

/** The demo's tasks in the order in which they are learned. */
export const demoTasks: readonly TaskSpecification[] = [travel, kitchen, music, money, health, home];
