// A page that shows nothing which changes: only the light at the top.

import { connect } from "./events.js";

connect();
