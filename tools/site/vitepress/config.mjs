const page = (text, link) => ({ text, link });

export default {
  title: "Accrete",
  description: "Teach a frozen language model one task after another, without forgetting.",
  // A link to a page that is not there ends the build.
  ignoreDeadLinks: false,
  themeConfig: {
    search: { provider: "local" },
    nav: [
      page("Choose", "/choose"),
      page("Store", "/store"),
      page("Experiments", "/experiments"),
      page("API", "/api/"),
    ],
    sidebar: [
      {
        text: "Begin",
        items: [page("What it is", "/"), page("What to choose", "/choose"), page("As a library", "/library")],
      },
      {
        text: "How to",
        items: [
          page("A store", "/store"),
          page("Over HTTP", "/serve"),
          page("Experiments", "/experiments"),
          page("Data", "/data"),
          page("Prepare a stream", "/prepare"),
          page("Extend", "/extending"),
          page("The page", "/page"),
          page("Sweeps", "/sweep"),
          page("Export", "/export"),
          page("In a browser", "/web"),
        ],
      },
      {
        text: "Reference",
        items: [
          page("Settings", "/config"),
          page("Models", "/models"),
          page("Combinations", "/combinations"),
          page("Metrics", "/metrics"),
          page("The original's flags", "/original"),
          page("API", "/api/"),
        ],
      },
      {
        text: "Measured and explained",
        items: [
          page("Results", "/results"),
          page("What grows with what", "/scale"),
          page("Routing", "/routing"),
          page("NewLoRA", "/newlora"),
          page("Probing", "/probing"),
          page("Reliability", "/reliability"),
          page("Security", "/security"),
          page("Architecture", "/architecture"),
        ],
      },
    ],
  },
};
