import { followTheme } from "./shared.js";

followTheme();
