import { conformanceOf } from "./suite.ts";

conformanceOf("text-classification");
