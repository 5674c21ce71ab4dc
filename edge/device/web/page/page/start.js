// A browser in; the page running in it out, or a sentence on why it cannot.
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
