import { conformanceOf } from "./suite.ts";

conformanceOf("token-classification");
