/** What may stand in a slot. Training never sees a held-out filler, validation and test see no other. */
export interface Fillers {
  readonly train: readonly string[];
  readonly heldOut: readonly string[];
}

export const fillers = {
  city: {
    train: [
      "Lisbon",
      "Chicago",
      "Oslo",
      "Madrid",
      "Toronto",
      "Vienna",
      "Denver",
      "Athens",
      "Seattle",
      "Dublin",
    ],
    heldOut: ["Rome", "Boston", "Berlin", "Tokyo", "Paris", "Sydney"],
  },
  country: {
    train: ["Brazil", "Japan", "Egypt", "Canada", "India", "Kenya", "Vietnam", "Turkey", "Peru", "Australia"],
    heldOut: ["China", "Mexico", "Thailand", "Morocco", "Spain", "Argentina"],
  },
  day: {
    train: ["Monday", "Thursday", "Saturday", "the third of May", "Friday", "the first of June"],
    heldOut: ["Tuesday", "Sunday", "the weekend", "Wednesday"],
  },
  month: {
    train: ["January", "March", "June", "August", "October"],
    heldOut: ["April", "July", "December"],
  },
  number: { train: ["two", "three", "four", "six", "eight"], heldOut: ["five", "seven", "nine"] },
  journey: {
    train: [
      "the flight from Lisbon",
      "the flight from Oslo",
      "my flight from Denver",
      "the trip from Athens",
    ],
    heldOut: [],
  },
  dish: {
    train: [
      "lasagna",
      "chicken soup",
      "potato salad",
      "beef stew",
      "vegetable curry",
      "apple pie",
      "tomato soup",
    ],
    heldOut: ["risotto", "chocolate cake", "onion soup", "pad thai", "banana bread"],
  },
  food: {
    train: ["a banana", "a cheeseburger", "white rice", "an avocado", "a slice of pizza", "peanut butter"],
    heldOut: ["salmon", "yogurt", "tofu", "an omelette", "popcorn"],
  },
  ingredient: {
    train: ["butter", "eggs", "milk", "flour", "soy sauce", "lemon juice", "sour cream", "honey"],
    heldOut: ["cream", "sugar", "baking powder", "vinegar", "olive oil", "parsley"],
  },
  cuisine: {
    train: ["Italian", "Thai", "French", "Mexican", "Indian"],
    heldOut: ["Greek", "Japanese", "Lebanese"],
  },
  artist: {
    train: ["Queen", "Adele", "Bob Dylan", "Nina Simone", "Coldplay", "David Bowie", "Beyonce"],
    heldOut: ["Taylor Swift", "Radiohead", "Johnny Cash", "Madonna", "Elvis"],
  },
  genre: {
    train: ["rock", "classical", "country", "reggae", "pop", "soul"],
    heldOut: ["jazz", "blues", "hip hop", "techno"],
  },
  person: {
    train: ["my sister", "Anna", "my landlord", "David", "my mother", "Carlos", "my roommate"],
    heldOut: ["my brother", "Peter", "my daughter", "Emma", "grandpa"],
  },
  amount: {
    train: ["50 dollars", "200 euros", "1000 dollars", "75 pounds", "300 dollars", "20 euros"],
    heldOut: ["400 bucks", "90 pounds", "a hundred bucks", "60 francs"],
  },
  account: {
    train: ["checking account", "savings account", "bank account", "main account", "joint account"],
    heldOut: [],
  },
  card: {
    train: ["bank card", "credit card", "debit card", "card"],
    heldOut: ["Visa", "Mastercard"],
  },
  purchase: {
    train: ["a new car", "a house", "a motorbike", "my studies", "a kitchen renovation", "a small business"],
    heldOut: ["an apartment", "a boat", "solar panels"],
  },
  bodyPart: {
    train: ["head", "knee", "back", "left arm", "neck", "foot", "right shoulder"],
    heldOut: ["throat", "stomach", "ankle", "chest"],
  },
  muscle: {
    train: ["legs", "back", "arms", "shoulders", "stomach"],
    heldOut: ["hips", "calves", "thighs"],
  },
  pills: {
    train: ["blood pressure pills", "allergy pills", "heart pills", "diabetes pills", "sleeping pills"],
    heldOut: ["antibiotics", "painkillers"],
  },
  doctor: {
    train: ["the doctor", "my doctor", "the eye doctor", "the skin doctor", "the family doctor"],
    heldOut: ["the dentist", "the GP"],
  },
  room: {
    train: ["kitchen", "bedroom", "living room", "bathroom", "garage", "hallway"],
    heldOut: ["study", "basement", "nursery", "porch"],
  },
  degrees: {
    train: ["20 degrees", "68 degrees", "22 degrees", "18 degrees", "72 degrees"],
    heldOut: ["21", "65"],
  },
} as const satisfies Readonly<Record<string, Fillers>>;

export type SlotName = keyof typeof fillers;

export function isSlotName(name: string): name is SlotName {
  return Object.hasOwn(fillers, name);
}
