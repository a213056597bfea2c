package quality.microscope.focus;

/**
 * From distributions over the defocus levels to certainties, image probabilities and levels. An
 * undefined distribution, that of a patch without content to judge, is NaN throughout.
 */
final class Certainty {
    /** A patch less certain than this has no weight in its image. */
    static final double LEAST_CERTAINTY = 0.1;

    /** The smallest normal float: probabilities below it count as it in products. */
    private static final double SMALLEST_PROBABILITY = Float.MIN_NORMAL;

    private Certainty() {}

    /**
     * Gives 1 - H(p) / ln K: H is the Shannon entropy in nats and K the number of levels (Yang et
     * al., BMC Bioinformatics 19, 77, 2018).
     *
     * @return from 0 (uniform, or undefined) to 1 (one-hot)
     */
    static double certainty(double[] p) {
        double entropy = 0;
        for (double share : p) {
            if (Double.isNaN(share)) {
                return 0;
            }
            entropy -= share > 0 ? share * Math.log(share) : 0;
        }
        return Math.min(Math.max(1 - entropy / Math.log(p.length), 0), 1);
    }

      /** Gives what patches weigh in their image: their certainties, and nothing below the least. */
    static double[] weights(double[] certainties) {
        double[] weights = certainties.clone();
        for (int i = 0; i < weights.length; i++) {
            weights[i] = weights[i] >= LEAST_CERTAINTY ? weights[i] : 0;
        }
        return weights;
    }

    /** Gives the certainty-weighted mean of patches' probabilities; NaN when none has any. */
    static double[] aggregate(double[][] probabilities, double[] certainties, int levels) {
        double weights = 0;
        for (int i = 0; i < probabilities.length; i++) {
            weights += isDefined(probabilities[i]) ? certainties[i] : 0;
        }
        double[] mean = new double[levels];
        double total = 0;
        for (int i = 0; i < probabilities.length; i++) {
            if (isDefined(probabilities[i])) {
                double weight = weights > 0 ? certainties[i] : 1;
                for (int k = 0; k < levels; k++) {
                    mean[k] += weight * probabilities[i][k];
                    total += weight * probabilities[i][k];
                }
            }
        }
        for (int k = 0; k < levels; k++) {
            mean[k] = total > 0 ? mean[k] / total : Double.NaN;
        }
        return mean;
    }

    /** Gives the normalised product of patches' probabilities, level by level; NaN without any. */
    static double[] product(double[][] probabilities, int levels) {
        double[] logarithm = new double[levels];
        boolean any = false;
        for (double[] p : probabilities) {
            if (isDefined(p)) {
                any = true;
                for (int k = 0; k < levels; k++) {
                    logarithm[k] += Math.log(Math.max(p[k], SMALLEST_PROBABILITY));
                }
            }
        }
        double highest = Double.NEGATIVE_INFINITY;
        for (double value : logarithm) {
            highest = Math.max(highest, value);
        }
        double[] product = new double[levels];
        double total = 0;
        for (int k = 0; k < levels; k++) {
            product[k] = any ? Math.exp(logarithm[k] - highest) : Double.NaN;
            total += product[k];
        }
        for (int k = 0; k < levels; k++) {
            product[k] /= total;
        }
        return product;
    }

    /** Gives the certainty-weighted mean of certainties, sum c² / sum c; 0 when all are 0. */
    static double weighted(double[] certainties) {
        double total = 0;
        double squares = 0;
        for (double c : certainties) {
            total += c;
            squares += c * c;
        }
        return total > 0 ? squares / total : 0;
    }

    /** Gives the most probable level, the lower one of a tie; NaN for an undefined distribution. */
    static double level(double[] p) {
        if (!isDefined(p)) {
            return Double.NaN;
        }
        int best = 0;
        for (int k = 1; k < p.length; k++) {
            if (p[k] > p[best]) {
                best = k;
            }
        }
        return best;
    }

    /** Gives the mean of the level over a distribution, sum k p_k; NaN for an undefined one. */
    static double expectedLevel(double[] p) {
        double sum = 0;
        for (int k = 0; k < p.length; k++) {
            sum += k * p[k];
        }
        return sum;
    }

    private static boolean isDefined(double[] p) {
        for (double share : p) {
            if (Double.isNaN(share)) {
                return false;
            }
        }
        return true;
    }
}
