import { openStore } from "accrete-lm";

// The folder "intents" keeps what is learned; it is made where it is not there yet.
await using store = await openStore("intents", { create: { backbone: "accrete-mini" } });
await store.learnClass("book_flight", ["find a flight to Rome", "I want to fly to Oslo", "a plane ticket"]);
await store.learnClass("find_recipe", ["how do I cook rice", "a recipe for pancakes", "what can I bake"]);
await store.learnClass("reserve_table", ["a table for two", "is the diner full", "we want to eat out"]);
console.log(await store.predict(["a flight to Berlin tomorrow"]));

// A wrong answer becomes something learned, and any change can be taken back.
await store.correct([{ text: "get me to Lisbon", label: "book_flight" }]);
console.log(`version ${store.version}`);
await store.rollback();
