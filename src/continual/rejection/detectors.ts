/** Fits what tells texts of no known class, and lets it answer with what a router's fitter holds. */

import type { RouterFitter } from "../routers/fit.ts";
import { checkWidth } from "../routers/routerModel.ts";
import { quantize } from "../statistics/fixedRows.ts";
import type { ClassStatistics } from "../statistics/statistics.ts";
import { decodeDetector, encodeDetector } from "./detectorFile.ts";
import { type DetectorModel, scoreRows } from "./detectorModel.ts";
import { fitDetector, type OutOfScopeDetector, type OutOfScopeOptions } from "./outOfScope.ts";

export class Detectors {
  private readonly fitter: RouterFitter;

  constructor(fitter: RouterFitter) {
    this.fitter = fitter;
  }

  /**
   * Fits a detector: a function of the statistics and the rate.
   * @throws DataError if there is no class
   */
  async fit(statistics: ClassStatistics, options: OutOfScopeOptions = {}): Promise<OutOfScopeDetector> {
    const context = this.fitter.context(statistics, 0, options.signal);
    return this.open(await fitDetector(context, options.falseRejectRate));
  }

  /** The bytes of a fitted detector, `detector.safetensors`: enough to answer without the statistics. */
  encode({ model }: OutOfScopeDetector): Uint8Array {
    return encodeDetector(model);
  }

  /**
   * @param where names the file in errors
   * @throws StoreError if the file is of another version or damaged
   */
  decode(bytes: Uint8Array, where: string): OutOfScopeDetector {
    return this.open(decodeDetector(bytes, where));
  }

  private open(model: DetectorModel): OutOfScopeDetector {
    const { constants, threshold, falseRejectRate } = model;
    return {
      threshold,
      falseRejectRate,
      model,
      score: async (features, signal) => {
        checkWidth("out-of-scope detector", features, constants);
        return await scoreRows(this.fitter.machinery, model, quantize(features), signal);
      },
    };
  }
}
