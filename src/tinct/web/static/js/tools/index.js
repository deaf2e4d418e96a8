// All tools, in the order of the rail.
import { box } from "./box.js";
import { brush, eraser } from "./brush.js";
import { clicks } from "./clicks.js";
import { pan } from "./pan.js";
import { polygon } from "./polygon.js";
import { scribbles } from "./scribbles.js";

export const TOOLS = [brush, eraser, clicks, box, scribbles, polygon, pan];
export const toolNamed = (name) => TOOLS.find((tool) => tool.name === name);
