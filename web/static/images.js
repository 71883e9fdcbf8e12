// The images: what is shown comes with the page; only the light and the buttons are live.

import { copyButtons } from "./copying.js";
import { connect } from "./events.js";

copyButtons();
connect();
