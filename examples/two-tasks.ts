import { createLearner } from "accrete-lm";

const rows = (label: string, ...texts: readonly string[]) => texts.map((text) => ({ text, label }));
const travel = [
  ...rows("book_flight", "find me a flight to Rome", "I want to fly to Oslo", "book a plane ticket"),
  ...rows("find_hotel", "I need a hotel room", "where can I sleep in Lisbon", "book two nights"),
];
const kitchen = [
  ...rows("find_recipe", "how do I cook rice", "a recipe for pancakes", "what can I bake today"),
  ...rows("reserve_table", "reserve a table for two", "is the diner full", "we want to eat out"),
];
await using learner = await createLearner({ backbone: "accrete-mini", training: { epochs: 20 } });
await learner.learn({ name: "travel", train: travel });
await learner.learn({ name: "kitchen", train: kitchen });
console.log(await learner.predict(["a flight to Berlin tomorrow"]));
