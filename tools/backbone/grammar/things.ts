/** Words and short phrases by what they name: the leaves of the corpus grammar. */
export const things: Readonly<Record<string, readonly string[]>> = {
  name: split(
    "Alice|Tom|Maria|Ahmed|Julia|Kenji|Olga|Sam|Priya|Lucas|Grace|Omar|Nina|Felix|Ruth|Mr. Lewis|Mrs. Patel|Dr. Stone|Anna|David|Peter|Emma|Carlos|John|Mary|James|Laura|Paul|Sarah|Michael|Linda|Robert|Susan|Daniel|Lisa|Kevin|Rosa|Hassan|Yuki|Elena|Max|Oliver|Sophie",
  ),
  relative: split(
    "mum|dad|uncle|aunt|cousin|nephew|niece|grandmother|grandfather|husband|wife|son|parents|in-laws|twins|boyfriend|girlfriend|stepfather|mother|father|sister|brother|daughter|mom|grandma|grandpa|roommate|kids|baby|fiancee",
  ),
  someone: split(
    "my boss|my colleague|my neighbor|a friend|the teacher|the plumber|the electrician|the lawyer|my accountant|the nurse|our guests|the manager|the mechanic|the landlady|a stranger|the customer|my team|the police|the mayor|the babysitter|the coach|the postman|a salesman|my landlord|the kids|my roommate|the doctor|everybody|the tenant|the courier|our boss|the driver|the owner",
  ),
  place: split(
    "London|New York|Moscow|Nairobi|Mumbai|Lima|Warsaw|Seoul|Cairo|Montreal|Naples|Hamburg|Texas|Florida|California|Scotland|Norway|Greece|Portugal|Iceland|Indonesia|Chile|Nigeria|Sweden|Austria|Ireland|Hungary|Singapore|Hawaii|the Alps|Paris|Berlin|Rome|Tokyo|Sydney|Boston|Chicago|Dublin|Madrid|Barcelona|Lisbon|Vienna|Toronto|Athens|Oslo|Seattle|Denver|Istanbul|Beijing|Bangkok|Dubai|Prague|Amsterdam|Brussels|Zurich|Helsinki|Miami|Dallas|Mexico|Brazil|Argentina|Peru|Egypt|Morocco|Kenya|India|China|Japan|Thailand|Vietnam|Australia|New Zealand|Canada|Spain|Italy|France|Germany|England|Poland|Turkey|Russia|Switzerland|Cuba|Las Vegas|San Francisco|Jamaica|Israel|Denmark|Belgium",
  ),
  venue: split(
    "the library|the museum|the zoo|the stadium|the theater|the airport|the train station|the harbor|the market|the mall|the bakery|the hospital|the post office|the town hall|the swimming pool|the gas station|the hardware store|the supermarket|the church|the park|the playground|the castle|the office|the university|the hairdresser|the embassy|the clinic|the drugstore|the courthouse|the parking lot|the bus stop",
  ),
  vehicle: split(
    "car|bus|train|plane|airplane|ferry|bicycle|motorcycle|taxi|truck|van|subway|tram|helicopter|ship|scooter|boat|cab|minibus|jet",
  ),
  carPart: split(
    "engine|brakes|tires|battery|windshield|headlights|gearbox|clutch|steering wheel|exhaust|radiator|oil filter|seat belt|mirror|trunk",
  ),
  lodging: split(
    "hotel|hostel|motel|inn|guesthouse|resort|campsite|cabin|holiday apartment|bed and breakfast|lodge|youth hostel|villa|suite|spare room",
  ),
  baggage: split(
    "suitcase|backpack|handbag|briefcase|trunk|duffel bag|carry-on bag|rucksack|purse|luggage|baggage|parcel|bag|garment bag",
  ),
  document: split(
    "passport|visa|identity card|driver's license|birth certificate|residence permit|work permit|tax form|contract|lease|receipt|boarding pass|travel permit|vaccination record|diploma|marriage certificate|application form|police report|insurance policy|will",
  ),
  fruit: split(
    "apple|orange|grape|lemon|cherry|pear|peach|mango|strawberry|pineapple|plum|melon|coconut|raspberry|fig|apricot|lime|kiwi|banana|avocado|grapefruit|blueberry|tangerine|pomegranate|papaya",
  ),
  vegetable: split(
    "carrot|potato|onion|cabbage|spinach|pepper|cucumber|tomato|mushroom|pumpkin|bean|pea|leek|beetroot|lettuce|garlic|celery|eggplant|broccoli|corn|zucchini|asparagus|lentil|chickpea|radish|turnip|artichoke|parsley|olive",
  ),
  meal: split(
    "pasta|soup|salad|stew|roast beef|fried chicken|grilled fish|omelette|curry|burger|sandwich|porridge|noodles|dumplings|casserole|meatballs|pizza|paella|goulash|ramen|barbecue ribs|sushi|tacos|pie|lamb chops|steak|lasagna|risotto|chili|fish and chips|omelet|spaghetti|tomato soup|roast turkey|quiche|fried rice|burritos|hot dogs|salmon|bacon and eggs|cheeseburger|shrimp|oatmeal|cereal|toast|pork chops|ham|popcorn|a roast|leftovers|kebab|pad thai",
  ),
  sweet: split(
    "cookies|brownies|cheesecake|ice cream|pudding|doughnuts|jam|pancakes|waffles|muffins|tart|chocolate mousse|candy|caramel|cupcakes|gingerbread|cake|apple pie|banana bread|chocolate cake|honey|yogurt|peanut butter|scones",
  ),
  staple: split(
    "flour|rice|bread|cheese|cream|margarine|yeast|oil|salt|sugar|pepper|cinnamon|mustard|ketchup|vinegar|mayonnaise|buttermilk|tofu|beans|oats|cornstarch|vanilla|basil|broth|maple syrup|almond milk|gelatin|parmesan|butter|eggs|milk|honey|baking powder|baking soda|lemon juice|soy sauce|sour cream|olive oil|coconut milk|chocolate|nuts|spices|oregano|sesame|whole wheat flour|lard|peanuts",
  ),
  drink: split(
    "coffee|tea|juice|beer|wine|lemonade|water|soda|cocoa|whisky|a milkshake|a cocktail|cider|champagne|an espresso|a smoothie",
  ),
  nutrient: split(
    "protein|fat|sugar|salt|fiber|vitamin C|iron|calcium|cholesterol|carbohydrates|caffeine|gluten|alcohol|energy|calories|starch",
  ),
  eatery: split(
    "restaurant|cafe|diner|bistro|pizzeria|steakhouse|pub|bar|food truck|canteen|tavern|sushi bar|buffet|tea house|burger joint|brasserie|ice cream parlor|grill",
  ),
  utensil: split(
    "frying pan|saucepan|oven|microwave|blender|toaster|kettle|whisk|rolling pin|spatula|grater|colander|cutting board|knife|ladle|dishwasher|fridge|freezer|stove|pressure cooker",
  ),
  clothing: split(
    "shirt|dress|jacket|coat|trousers|skirt|sweater|socks|shoes|boots|hat|gloves|scarf|suit|tie|pajamas|swimsuit|jeans|raincoat|uniform",
  ),
  furniture: split(
    "sofa|table|chair|bed|desk|bookcase|wardrobe|armchair|cupboard|shelf|mattress|bench|dresser|couch|stool|cradle",
  ),
  housePart: split(
    "roof|wall|ceiling|window|door|stairs|floor|chimney|balcony|fence|gate|doorbell|attic|cellar|terrace|porch|driveway|corridor|pantry|laundry room|dining room|office|nursery|basement|garden|entrance|back yard|guest room|garage|hallway|bedroom|kitchen|bathroom|living room|study|lobby|front door|back door|garage door|lawn|patio|playroom|hall|shed|elevator",
  ),
  lightSource: split(
    "lamp|light|ceiling light|floor lamp|desk lamp|light bulb|chandelier|candle|spotlight|night light|lantern|flashlight|street light|reading lamp|fairy lights",
  ),
  climateDevice: split(
    "heater|radiator|air conditioner|fan|fireplace|furnace|boiler|thermostat|heat pump|stove|humidifier|ventilation|heating|air conditioning|AC|central heating|cooler",
  ),
  guardDevice: split(
    "lock|alarm|burglar alarm|security camera|smoke detector|padlock|bolt|deadbolt|motion sensor|safe|intercom|key|alarm system|fire alarm|door chain|door lock|front door lock|key pad|gate|security system|smart lock",
  ),
  cleaningTool: split(
    "vacuum cleaner|broom|mop|bucket|sponge|duster|washing machine|dryer|iron|detergent|brush|hoover|robot vacuum|dustpan|soap|rag|bleach",
  ),
  mess: split(
    "dust|dirt|mud|crumbs|grease|stains|mold|cobwebs|pet hair|spilled milk|trash|ashes|broken glass|sand|limescale|garbage|dust bunnies|filth|a sticky spill|spills|muddy footprints|rubbish|clutter|cat hair|sawdust|wine stains",
  ),
  surface: split(
    "carpet|rug|tiles|windows|bathtub|sink|counter|curtains|wooden floor|mirror|toilet|oven|shower|tablecloth|doormat|kitchen floor|parquet",
  ),
  instrument: split(
    "guitar|piano|violin|drums|trumpet|flute|cello|saxophone|harp|clarinet|organ|accordion|bass|banjo|harmonica",
  ),
  musicKind: split(
    "opera|folk music|heavy metal|disco|gospel|punk|chamber music|swing|funk|lullabies|film scores|salsa|house music|ballads|choir music|rap|jazz standards|dance music|rock|pop|jazz|blues|country music|reggae|soul|hip hop|techno|classical music|electronic music|indie rock|R&B|Latin music|bluegrass",
  ),
  musician: split(
    "Mozart|Beethoven|Michael Jackson|Pink Floyd|Bach|Abba|the Rolling Stones|Prince|Rihanna|Metallica|Bob Marley|Frank Sinatra|Ella Fitzgerald|U2|Nirvana|Drake|Shakira|Miles Davis|Chopin|Aretha Franklin|the Beatles|Elvis|Madonna|Bob Dylan|David Bowie|Queen|Coldplay|Adele|Beyonce|Taylor Swift|Radiohead|Johnny Cash|Nina Simone|Eminem|Vivaldi|Louis Armstrong|Stevie Wonder|Lady Gaga|Bruce Springsteen|Whitney Houston",
  ),
  musicThing: split(
    "song|tune|track|album|record|melody|playlist|symphony|single|soundtrack|anthem|ballad|hit|chorus|lyrics|music video",
  ),
  musicEvent: split(
    "concert|gig|festival|recital|opera|musical|show|tour|live performance|jam session|ballet|rock concert|open-air concert|comedy show|play",
  ),
  soundDevice: split(
    "speaker|radio|television|headphones|stereo|phone|microphone|amplifier|record player|alarm clock|loudspeaker|earphones|laptop|sound system",
  ),
  film: split(
    "comedy|thriller|western|documentary|cartoon|horror film|romance|science fiction film|mystery|drama|series|musical|biography|novel|fairy tale|poem|comic book|cookbook|textbook|newspaper",
  ),
  moneyThing: split(
    "savings|salary|rent|pension|tax|bill|debt|budget|deposit|fee|fine|invoice|refund|mortgage|loan|credit|dividend|insurance|interest|allowance|donation|tip|income|overdraft|wage|balance|payday|bonus|expenses|installment|down payment|refinancing|funds|rent money|cash|credit limit",
  ),
  sum: split(
    "ten dollars|a hundred euros|five thousand pounds|twelve cents|fifty bucks|a million yen|eighty francs|two grand|thirty percent of it|600 dollars|1500 euros|a few coins|500 pesos|$25|$1,200|€40",
  ),
  bankThing: split(
    "bank account|checking account|savings account|credit card|debit card|cash machine|wallet|check|PIN|bank statement|wire transfer|online banking|bank branch|safe deposit box|stock portfolio|piggy bank|plastic card|Visa card|exchange office",
  ),
  crime: split(
    "theft|robbery|fraud|burglary|pickpocketing|vandalism|scam|identity theft|break-in|mugging|kidnapping|smuggling|forgery",
  ),
  criminal: split(
    "thief|burglar|robber|pickpocket|hacker|intruder|mugger|scammer|shoplifter|trespasser|con man|vandal",
  ),
  body: split(
    "head|neck|shoulder|arm|elbow|wrist|hand|finger|chest|stomach|back|hip|leg|knee|ankle|foot|toe|eye|ear|nose|mouth|tooth|throat|skin|heart|lung|liver|kidney|jaw|spine|muscle|belly|thigh|calf|heel|scalp|ankles|shoulders|legs|arms|feet|eyes|ears|teeth|hips|calves|thighs|abs|left arm|right knee|lower back|forehead|thumb|stomach muscles",
  ),
  ailment: split(
    "headache|fever|cold|flu|cough|rash|toothache|sore throat|stomach ache|migraine|allergy|infection|nausea|dizziness|back pain|sunburn|cramp|insomnia|asthma|diarrhea|nosebleed|swelling|heartburn|high blood pressure|hay fever|chickenpox|bruise|blister|fracture|sprain|pneumonia|earache|itching|fatigue|shortness of breath",
  ),
  medicine: split(
    "aspirin|antibiotics|painkillers|cough syrup|insulin|vitamins|sleeping pills|eye drops|ointment|an inhaler|a vaccine|antihistamines|tablets|pills|medication|a bandage|nasal spray|drugs|antidepressants|medicine|capsules|a sedative|blood pressure pills|heart pills|allergy medicine|antibiotic cream|prescription drugs|my prescription|refills|meds|diabetes medication",
  ),
  healer: split(
    "doctor|dentist|physician|surgeon|nurse|pharmacist|psychologist|therapist|pediatrician|dermatologist|optician|midwife|specialist|general practitioner|veterinarian|cardiologist|chiropractor|paramedic|chemist|eye doctor|psychiatrist",
  ),
  exam: split(
    "check-up|blood test|X-ray|vaccination|examination|surgery|consultation|physical|eye test|scan|follow-up|dental cleaning|therapy session|massage|haircut|job interview|driving test|viewing|visit|appointment|treatment|operation|allergy test|annual physical",
  ),
  sport: split(
    "football|tennis|basketball|swimming|boxing|golf|skiing|hockey|cycling|rowing|yoga|karate|climbing|running|jogging|gymnastics|volleyball|surfing|weightlifting|wrestling|pilates|dancing|hiking|baseball",
  ),
  training: split(
    "push-ups|sit-ups|squats|stretches|a marathon|weight training|cardio|lunges|pull-ups|jumping jacks|a warm-up|aerobics|planks|interval training|leg day|a half marathon|deadlifts|an obstacle race|a workout|gym exercises|bench presses|a 5k run|burpees|crunches|treadmill running|jogging|stair climbing|a workout plan|an exercise for the abs|muscle training|endurance training",
  ),
  weather: split(
    "rain|snow|sunshine|fog|wind|thunder|hail|frost|a storm|a heat wave|a hurricane|ice|clouds|drizzle|humidity|lightning|a cold front",
  ),
  feeling: split(
    "happy|sad|angry|tired|excited|nervous|bored|lonely|proud|scared|jealous|hungry|thirsty|sleepy|confused|grateful|worried|cheerful|ashamed|homesick|calm|disappointed",
  ),
  quality: split(
    "cheap|expensive|beautiful|ugly|old|new|big|small|heavy|light|fast|slow|noisy|quiet|dangerous|safe|clean|dirty|easy|difficult|boring|interesting|famous|broken|fresh|healthy|strong|weak|bright|dark|warm|cold|soft|hard|sweet|spicy|empty|full|wet|dry|affordable|comfortable|reliable",
  ),
  animal: split(
    "dog|cat|horse|cow|rabbit|parrot|goldfish|hamster|sheep|goat|duck|elephant|lion|bear|wolf|snake|owl|spider|whale|mouse|bee|frog|turtle|monkey|fox|dogs|cats|pony|chicken|pig|tiger|kitten|puppy",
  ),
  plant: split(
    "rose|oak|tulip|lawn|hedge|cactus|apple tree|fern|herb garden|lily|sunflower|ivy|orchid|weeds|palm tree|bush",
  ),
  device: split(
    "phone|laptop|tablet|printer|router|keyboard|camera|game console|smartwatch|charger|screen|projector|hard drive|scanner|remote control|calculator|e-reader|robot",
  ),
  techThing: split(
    "password|email|Wi-Fi|update|app|website|browser|backup|file|spreadsheet|text message|voicemail|screenshot|link|attachment|virus|software|database|username|notification",
  ),
  workThing: split(
    "meeting|deadline|report|presentation|contract|project|interview|shift|conference|raise|promotion|vacation|holiday|overtime|business trip|paycheck|resume|agenda|training course|sick leave|day off|payslip|workout|schedule|reservation|appointment|order|subscription|plan|task|payment|application",
  ),
  job: split(
    "engineer|farmer|baker|pilot|teacher|waiter|actor|painter|carpenter|fisherman|soldier|judge|journalist|architect|cashier|librarian|firefighter|tailor|cook|writer|scientist",
  ),
  subject: split(
    "history|physics|chemistry|geography|biology|mathematics|philosophy|economics|astronomy|grammar|politics|religion|art|music theory|computer science|law|psychology",
  ),
  event: split(
    "birthday|wedding|funeral|anniversary|graduation|party|picnic|barbecue|reunion|baby shower|dinner party|housewarming|Christmas|Easter|New Year's Eve|Thanksgiving|honeymoon|christening",
  ),
  time: split(
    "today|tonight|tomorrow|this morning|this afternoon|this evening|next Monday|on Friday|next month|in an hour|at noon|at midnight|in two weeks|at half past seven|before breakfast|after lunch|right now|as soon as possible|on the tenth of May|in the summer|by the end of the year|later|at 6 pm|on Tuesday|on Wednesday|on Thursday|on Saturday|on Sunday|in January|in February|in March|in April|in May|in June|in July|in August|in September|in October|in November|in December|at the weekend|at eight|tomorrow morning|every day|twice a week|tonight at nine|in ten minutes|at bedtime",
  ),
  pastTime: split(
    "yesterday|last night|last week|two days ago|a month ago|an hour ago|this morning|last summer|on Sunday|in 1999|years ago|a moment ago|over the weekend|last Tuesday",
  ),
  count: split("two|three|four|five|six|ten|a dozen|twenty|half a dozen|several|a couple of|seven"),
  color: split("red|blue|green|yellow|white|black|pink|purple|orange|brown|grey|golden"),
  language: split(
    "Spanish|French|German|Chinese|Arabic|Russian|Italian|Japanese|Portuguese|Dutch|Greek|Hindi|Turkish|Latin",
  ),
  nationality: split(
    "Italian|Chinese|Mexican|Indian|Greek|Thai|Japanese|French|Spanish|Turkish|Korean|Vietnamese|Lebanese|American|Moroccan|Brazilian",
  ),
};

function split(words: string): readonly string[] {
  return words.split("|");
}
