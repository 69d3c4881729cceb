import com.pixelmed.validate.DicomSRValidator;

/** Validates structured reports as PixelMed's DicomSRValidator does, many in one virtual machine. */
public class ValidateReports {
    public static void main(String[] paths) throws Exception {
        DicomSRValidator validator = new DicomSRValidator();
        for (String path : paths) {
            System.out.println("Report: " + path);
            // As its command does without options.
            System.out.println(validator.validate(path, false, true, false, false, false));
        }
    }
}
