// A grammar, a memory to begin with and steps in, as JSON; what came of each step out. Each step is
// what memory.hear takes, or a time for memory.tick, or "resume": go on from what would be kept, or
// what memory.unmute takes, once it was mute.
const { Memory } = await import(process.argv[2]);

let content = "";
for await (const part of process.stdin) content += part;
const { grammar, learned, steps } = JSON.parse(content);
let memory;
try {
  memory = new Memory(grammar, null, learned);
} catch (problem) {
  console.log(JSON.stringify({ refused: problem.message }));
  process.exit();
}
const results = steps.map((step) => {
  let turn = null;
  if (step === "resume") {
    const kept = JSON.parse(JSON.stringify({ state: memory.state, learned: memory.learned }));
    memory = new Memory(grammar, kept.state, kept.learned);
  } else if (step === "forget") memory.forget();
  else if (typeof step === "number") turn = memory.tick(step);
  else if (step.unmute) {
    memory.mute(step.unmute[0]);
    memory.unmute(...step.unmute);
  }
  else turn = memory.hear(...step);
  const { outcome = null, commands = [] } = turn ?? {};
  const said = commands.map(({ text }) => text);
  return { outcome, said, pending: memory.pending, habit: memory.habit, learned: memory.learned, due: memory.due };
});
console.log(JSON.stringify({ results }));
