/** Names only, so that the command line can list them without loading any reader. */
export const datasetNames = [
  "clinc150",
  "banking77",
  "fewrel",
  "tacred",
  "topic3",
  "conll2003",
  "fewnerd",
  "ontonotes5",
  "i2b2",
  "wnut17",
] as const;

export type DatasetName = (typeof datasetNames)[number];

export function isDatasetName(name: string): name is DatasetName {
  return datasetNames.some((each) => each === name);
}
