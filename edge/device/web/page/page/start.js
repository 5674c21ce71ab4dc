// Runs the page, or shows why this browser cannot.
import { hindrance, showProblem } from "./problems.js";

const code = hindrance();
if (code) {
  showProblem({ code });
} else {
  import("./page.js").then(
    ({ run }) => run().catch(showProblem),
    () => showProblem({ code: "network" }),
  );
}
