package quality.microscope.focus;

/** Brings patches to the scale that a model was trained with. */
final class Normalisation {
    /** A patch whose deviation is below this fraction of its mean's size is constant. */
    static final double CONSTANT_DEVIATION = 1e-6;

    private Normalisation() {}

    /**
     * Gives a patch mean 0 and population standard deviation 1, or divides it by its type's range.
     *
     * @param values its pixels; they are overwritten
     * @param typeRange whether it is the latter
     * @param typeMax largest value of the image's type
     * @param to takes the normalised pixels, from {@code at} on
     * @return false for a constant patch, which stays undone
     */
    static boolean scale(
            double[] values, boolean typeRange, double typeMax, float[] to, int at) {
        double sum = 0;
        for (int i = 0; i < values.length; i++) {
            if (typeRange) {
                values[i] = Math.min(Math.max(values[i] / typeMax, 0), 1);
            }
            sum += values[i];
        }
        double mean = sum / values.length;
        double squares = 0;
        for (int i = 0; i < values.length; i++) {
            values[i] -= mean;
            squares += values[i] * values[i];
        }
        double deviation = Math.sqrt(squares / values.length);
        if (!(deviation > CONSTANT_DEVIATION * Math.abs(mean))) {
            return false;
        }
        double gain = typeRange ? 1 : 1 / deviation;
        double offset = typeRange ? mean : 0;
        for (int i = 0; i < values.length; i++) {
            to[at + i] = (float) (values[i] * gain + offset);
        }
        return true;
    }
}
